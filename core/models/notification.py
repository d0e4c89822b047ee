"""`Notification`: a timeline entry that a user has not read yet. Notes reach their readers only this way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from html import escape
from typing import Any

from core.events import announce
from core.orm import fields
from core.orm.feed import Change
from core.orm.record import Record
from core.orm.transaction import transaction
from core.runtime import get_model


class Notification(Record):
    """One user's unread mark on one entry."""

    message = fields.ForeignKeyField("models.Message", related_name="notifications", on_delete=fields.CASCADE)
    user = fields.ForeignKeyField("models.User", related_name="notifications", on_delete=fields.CASCADE)
    read_at = fields.DatetimeField(null=True)

    class Meta:
        unique_together = (("message", "user"),)

    @classmethod
    async def tell(cls, told: Iterable[tuple[Any, int]]) -> None:
        """Tell users, by their ids, of entries that they were not told of yet."""
        pairs = list(told)
        await cls.bulk_create([cls(message_id=message.pk, user_id=user_id) for message, user_id in pairs])
        await announce(*(Change(f"user:{user_id}") for user_id in {user_id for _, user_id in pairs}))

    @classmethod
    async def tell_followers(cls, messages: Iterable[Any]) -> None:
        """Tell the users who follow the records of some entries, but for each entry's own author, by one query."""
        of_records = [message for message in messages if message.res_id is not None]
        rows = await get_model("Follower").filter(
            res_id__in=list({message.res_id for message in of_records}),
            res_model__in=list({message.res_model for message in of_records}),
            contact__users__active=True,
        ).values_list("res_model", "res_id", "contact_id", "contact__users__id") if of_records else []  # fmt: skip
        readers: dict[tuple[str, int], set[tuple[int, int]]] = defaultdict(set)
        for model, record_id, contact_id, user_id in rows:
            readers[model, record_id].add((contact_id, user_id))
        await cls.tell(
            (message, user_id)
            for message in of_records
            for contact_id, user_id in sorted(readers[message.res_model, message.res_id])
            # Whoever is only said to have written it, and has not, must hear of it.
            if user_id != message.author_id
            and (contact_id != message.author_contact_id or message.authenticity == "fail")
        )

    @classmethod
    async def tell_admins(cls, subject: str, text: str) -> None:
        """Tell every administrator something of the system's own; who has not read the same subject is not told again.

        `text` is plain.
        """
        async with transaction():
            told = await cls.filter(read_at=None, message__kind="system", message__subject=subject).values_list(
                "user_id", flat=True
            )
            admins = await get_model("User").filter(is_admin=True, active=True).exclude(id__in=list(told))
            if admins:
                message = await get_model("Message").create(
                    kind="system", subject=subject, text=text, body=f"<p>{escape(text)}</p>"
                )
                await cls.tell((message, admin.pk) for admin in admins)
