"""`QueueSuspension`: while this row is there nothing is sent, by whatever path."""

from __future__ import annotations

from core.orm import fields
from core.orm.record import Record


class QueueSuspension(Record):
    """The one row that stops the queue. The claim and the mark before the content both look for it."""

    name = fields.CharField(max_length=16, unique=True, default="queue")
    reason = fields.TextField(default="")
    since_at = fields.DatetimeField(auto_now_add=True)
    user = fields.ForeignKeyField("models.User", null=True, related_name="suspensions", on_delete=fields.SET_NULL)
