"""`MailingSubscription`: an address on a list.

Who left is in `Suppression`, where the queue looks before each mail; what a subscription says of it is a copy.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from core.api import (
    Record,
    UserError,
    api_method,
    checked_address,
    database,
    fields,
    get_model,
    now,
    related,
    transaction,
)

_NAME_CHARS = 200
_AT_ONCE = 1_000


class MailingSubscription(Record):
    """One address on one list, in the form in which equal mailboxes are equal; of a contact, or by itself."""

    _title = "Subscriptions"
    label_field = "address"

    list: Any = fields.ForeignKeyField("models.MailingList", related_name="subscriptions", on_delete=fields.CASCADE)
    list_id: int
    contact: Any = fields.ForeignKeyField(
        "models.Contact", null=True, related_name="subscriptions", on_delete=fields.SET_NULL
    )
    contact_id: int | None
    address = fields.CharField(max_length=320)
    name = fields.CharField(max_length=_NAME_CHARS, default="")
    unsubscribed_at = fields.DatetimeField(null=True)
    reason = fields.CharField(max_length=200, default="")
    """Why it left, in words."""
    created_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        unique_together = (("list", "address"),)

    async def _collaborate_contact(self) -> Any:
        """Return the contact, whose language and zone the mails are in."""
        return await related(self, "contact")

    async def save(self, *args: Any, **kwargs: Any) -> None:
        """Store it under its normalised address; the contact's, where none is given. AddressError where it is none."""
        contact = None if self.address and self.name else await related(self, "contact")
        if contact is not None:
            self.address, self.name = self.address or contact.email, self.name or contact.name
        self.address = checked_address(self.address)
        await super().save(*args, **kwargs)

    @api_method(title="Unsubscribe")
    async def unsubscribe(self, reason: str = "") -> None:
        """Take the address off the list at once, also for what is queued already."""
        of_list = await self.list
        async with transaction():
            await get_model("Suppression").suppress(
                self.address, reason="unsubscribe", list=of_list.name, source="subscription", note=reason
            )
            self.unsubscribed_at, self.reason = now(), reason[:200] or "by hand"
            await self.save(update_fields=["unsubscribed_at", "reason"])

    @api_method(title="Subscribe again")
    async def subscribe_again(self) -> None:
        """Write to the address again, as it asks; UserError where something else is in the way than that it left.

        Whoever left every list did so for other lists too, so this takes nothing of that back.
        """
        of_list = await self.list
        async with transaction():
            await get_model("Suppression").unsuppress(self.address, list=of_list.name, reason="unsubscribe")
            self.unsubscribed_at, self.reason = None, ""
            await self.save(update_fields=["unsubscribed_at", "reason"])
            left = await get_model("Suppression").suppressed([(0, self.address, of_list.name)])
            if left:
                raise UserError(left[0])

    @classmethod
    async def subscribe(cls, of_list: Any, people: Iterable[tuple[str, str]]) -> int:
        """Put (address, name) on a list, all or none; return how many are new. Known ones stay as they are.

        AddressError where one is no address. Nobody who left comes back by it.
        """
        dialect, created_at = database().dialect, database().dialect.time(now())
        sql = f"""INSERT INTO {cls._meta.db_table} (list_id, address, name, reason, created_at)
                  SELECT given.list_id, given.address, given.name, given.reason, given.created_at FROM {{rows}}
                  WHERE TRUE ON CONFLICT (list_id, address) DO NOTHING"""
        types = {"list_id": "bigint", "address": "text", "name": "text", "reason": "text", "created_at": "timestamptz"}
        given = iter(people)
        async with transaction():
            # Two that put the same people on a list, in another order, would wait for each other for ever.
            await type(of_list).select_for_update().get(id=of_list.pk)
            before = await cls.filter(list_id=of_list.pk).count()
            while page := list(islice(given, _AT_ONCE)):
                rows = [
                    (of_list.pk, checked_address(address), " ".join(name.split())[:_NAME_CHARS], "", created_at)
                    for address, name in page
                ]
                await database().batch(dialect.over(sql, types, rows))
            await cls.note_who_left(of_list)
            return int(await cls.filter(list_id=of_list.pk).count() - before)

    @classmethod
    async def note_who_left(cls, of_list: Any) -> None:
        """Make the subscriptions of a list say what `Suppression` says: who left it, and who came back."""
        dialect = database().dialect
        param, table = dialect.param, cls._meta.db_table
        left = f"""SELECT address, MIN(created_at) AS left_at, MIN(note) AS note FROM suppression
                   WHERE reason = 'unsubscribe' AND list IN ({param(2)}, '*')
                     AND (expires_at IS NULL OR expires_at > {dialect.now()}) GROUP BY address"""
        given = [of_list.pk, of_list.name]
        await database().execute(
            f"""UPDATE {table} SET unsubscribed_at = gone.left_at, reason = substr(gone.note, 1, 200)
                FROM ({left}) AS gone
                WHERE {table}.list_id = {param(1)} AND {table}.address = gone.address
                  AND {table}.unsubscribed_at IS NULL""",
            given,
        )
        await database().execute(
            f"""UPDATE {table} SET unsubscribed_at = NULL, reason = ''
                WHERE list_id = {param(1)} AND unsubscribed_at IS NOT NULL
                  AND address NOT IN (SELECT address FROM ({left}) AS gone)""",
            given,
        )
