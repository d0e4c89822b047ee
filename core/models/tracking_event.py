"""`TrackingEvent`: the raw record of opens and clicks. What it sums up to stands on `Delivery` and `Message`."""

from __future__ import annotations

from datetime import timedelta

from core import clock
from core.cron.method import cron_method
from core.orm import fields
from core.orm.record import Record
from core.runtime import settings


class TrackingEvent(Record):
    """Some like hits on a pixel or a link that came together: `count` of them, the first one at `at`.

    A delivery keeps its first few hundred; what comes after is only summed up. `delivery` is None for a hit that names
    the message alone.
    """

    label_field = "kind"

    message = fields.ForeignKeyField("models.Message", related_name="tracking_events", on_delete=fields.CASCADE)
    delivery = fields.ForeignKeyField(
        "models.Delivery", null=True, related_name="tracking_events", on_delete=fields.CASCADE
    )
    kind = fields.SelectionField({"open": "Open", "click": "Click"})
    url = fields.TextField(default="")
    at = fields.DatetimeField()
    count = fields.IntField(default=1)
    verdict = fields.SelectionField({"human": "A person", "machine": "A machine"})
    reason = fields.CharField(max_length=32, default="")
    """Why it counts as a machine's, or `proxy` for a person whose mail program fetches for them."""
    ip = fields.CharField(max_length=45, default="")
    """As much of the reader's address as TRACKING_IP keeps."""
    user_agent = fields.CharField(max_length=255, default="")

    class Meta:
        indexes = (("delivery_id", "kind", "at"), ("message_id", "id"), ("at",))

    @classmethod
    @cron_method
    async def cron_prune(cls) -> int:
        """Delete the events that are older than TRACKING_DAYS; return how many."""
        forgotten = clock.now() - timedelta(days=settings().TRACKING_DAYS)
        count: int = await cls.filter(at__lte=forgotten).delete()
        return count
