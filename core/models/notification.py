"""`Notification`: a timeline entry that a user has not read yet. Notes reach their readers only this way."""

from __future__ import annotations

from core.orm import fields
from core.orm.record import Record


class Notification(Record):
    """One user's unread mark on one entry."""

    message = fields.ForeignKeyField("models.Message", related_name="notifications", on_delete=fields.CASCADE)
    user = fields.ForeignKeyField("models.User", related_name="notifications", on_delete=fields.CASCADE)
    read_at = fields.DatetimeField(null=True)

    class Meta:
        unique_together = (("message", "user"),)
