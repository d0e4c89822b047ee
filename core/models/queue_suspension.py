"""`QueueSuspension`: while this row is there nothing is sent, by whatever path."""

from __future__ import annotations

from typing import cast

from core.delivery.suspension import resume_queue, suspend_queue, suspension, what_stops
from core.orm import fields
from core.orm.record import Record


class QueueSuspension(Record):
    """The one row that stops the queue. The claim and the mark before the content both look for it."""

    _of_host = True

    name = fields.CharField(max_length=16, unique=True, default="queue")
    reason = fields.TextField(default="")
    since_at = fields.DatetimeField(auto_now_add=True)
    user = fields.ForeignKeyField("models.User", null=True, related_name="suspensions", on_delete=fields.SET_NULL)

    @classmethod
    async def suspend(cls, reason: str = "") -> None:
        """Send nothing from now on; queueing goes on."""
        await suspend_queue(reason)

    @classmethod
    async def resume(cls) -> bool:
        """Send again; return whether the queue had been suspended."""
        return await resume_queue()

    @classmethod
    async def current(cls) -> QueueSuspension | None:
        """Return the row that stops the queue, its user loaded, or None while the queue runs."""
        return cast("QueueSuspension | None", await suspension())

    @classmethod
    async def what_stops(cls) -> str:
        """Return why nothing is sent at all, also where that is MAIL_MODE; empty while mail is sent."""
        return await what_stops()
