"""`Notification`: a timeline entry that a user has not read yet. Notes reach their readers only this way."""

from __future__ import annotations

from html import escape

from core.orm import fields
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
                await cls.bulk_create([cls(message=message, user=admin) for admin in admins])
