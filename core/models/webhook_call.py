"""`WebhookCall`: one event that one webhook is told of, the row that its queue works on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tortoise.indexes import PartialIndex

from core import clock
from core.cron.method import cron_method
from core.errors import UserError
from core.events import ring
from core.orm import fields
from core.orm.record import Record
from core.orm.transaction import transaction
from core.runtime import settings
from core.webhooks.note import TOPIC, heard, note


class WebhookCall(Record):
    """What is told, exactly as it is posted, and how it went.

    States: `queued` waits for `due_at`; `sending` is leased to a worker; `delivered` and `failed` are final, but that
    a person may try a failed one again.
    """

    label_field = "event"
    _written_over_http = False
    _of_host = True

    webhook = fields.ForeignKeyField("models.Webhook", related_name="calls", on_delete=fields.CASCADE)
    event_id = fields.CharField(max_length=64)
    """The header `webhook-id`: the same for every try, and for every webhook that is told of this event."""
    event = fields.CharField(max_length=64)
    payload = fields.TextField()
    state = fields.SelectionField(
        {"queued": "Queued", "sending": "Sending", "delivered": "Delivered", "failed": "Failed"}, default="queued"
    )
    attempts = fields.IntField(default=0)
    due_at = fields.DatetimeField()
    lease_token = fields.CharField(max_length=32, null=True)
    lease_until = fields.DatetimeField(null=True)
    last_status = fields.IntField(null=True)
    last_error = fields.CharField(max_length=300, default="")
    duration_ms = fields.IntField(null=True)
    created_at = fields.DatetimeField(auto_now_add=True)
    delivered_at = fields.DatetimeField(null=True)

    class Meta:
        unique_together = (("webhook", "event_id"),)
        indexes = (
            PartialIndex(fields=("due_at", "id"), condition={"state": "queued"}),
            PartialIndex(fields=("webhook_id", "due_at"), condition={"state": "queued"}),
            PartialIndex(fields=("state", "webhook_id"), condition={"state": "sending"}),
            PartialIndex(fields=("lease_until",), condition={"state": "sending"}),
            ("webhook_id", "id"),
            ("created_at",),
        )

    # Whoever may not import the room of webhooks finds its functions here.

    note = staticmethod(note)
    heard = staticmethod(heard)

    async def retry(self) -> None:
        """Make the call anew, from its first try; UserError where it is on its way or waits already."""
        async with transaction():
            over = type(self).filter(id=self.pk, state__in=["failed", "delivered"])
            if not await over.update(state="queued", attempts=0, due_at=clock.now()):
                raise UserError("This call waits already, or is on its way.")
            await ring(TOPIC)
        await self.refresh_from_db()

    @classmethod
    @cron_method
    async def cron_prune(cls) -> int:
        """Delete the calls that were made, or given up, more than WEBHOOK_CALL_DAYS ago; return how many.

        What still waits is deleted once a webhook has been off for as long.
        """
        before = clock.now() - timedelta(days=settings().WEBHOOK_CALL_DAYS)
        old: Any = cls.filter(created_at__lte=before)
        over = await old.filter(state__in=["delivered", "failed"]).delete()
        return int(over) + int(await old.filter(state="queued", webhook__active=False).delete())
