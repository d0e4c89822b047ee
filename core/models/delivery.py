"""`Delivery`: one recipient of one message, the narrow row that the queue works on. Bodies stay on `Message`."""

from __future__ import annotations

from tortoise.indexes import PartialIndex

from core.orm import fields
from core.orm.indexes import SetIndex
from core.orm.record import Record


class Delivery(Record):
    """One recipient's copy.

    States: `queued` waits for `due_at`; `claimed` is leased to a worker and nothing was sent; `sending` was marked
    before its content left; `sent`, `failed` and `cancelled` are final; `unknown` and `held` wait for a person.
    """

    _written_over_http = False

    message = fields.ForeignKeyField("models.Message", related_name="deliveries", on_delete=fields.CASCADE)
    recipient = fields.CharField(max_length=320)
    kind = fields.SelectionField({"to": "To", "cc": "Cc", "bcc": "Bcc"}, default="to")
    state = fields.SelectionField(
        {
            "held": "Held",
            "queued": "Queued",
            "claimed": "Claimed",
            "sending": "Sending",
            "sent": "Sent",
            "failed": "Failed",
            "cancelled": "Cancelled",
            "unknown": "Unknown",
        },
        default="queued",
    )
    priority = fields.IntField(default=10)
    due_at = fields.DatetimeField()
    attempts = fields.IntField(default=0)
    lease_token = fields.CharField(max_length=32, null=True)
    lease_until = fields.DatetimeField(null=True)
    begun_at = fields.DatetimeField(null=True)
    """When the mark before the content was made; of a suspect, when its composition was begun."""
    crashes = fields.IntField(default=0)
    """Above 0 it is a suspect: a worker died that had claimed it, and those above 1 died composing it."""
    remote_id = fields.CharField(max_length=255, null=True, db_index=True)
    """What the other side calls it, where it gives a name: an SMS provider's id."""

    open_count = fields.IntField(default=0)
    opened_at = fields.DatetimeField(null=True)
    """The first open by a person, as far as that can be told."""
    read_at = fields.DatetimeField(null=True)
    """When its pixel was first fetched, by whomever."""
    click_count = fields.IntField(default=0)
    clicked_at = fields.DatetimeField(null=True)
    bounced_at = fields.DatetimeField(null=True)
    bounce_kind = fields.SelectionField({"": "", "hard": "Hard", "soft": "Soft"}, default="")
    complained_at = fields.DatetimeField(null=True)

    class Meta:
        # One small index per question that is asked all the time, over the few rows that it concerns.
        indexes = (
            PartialIndex(fields=("priority", "due_at", "id"), condition={"state": "queued"}),
            PartialIndex(fields=("due_at", "id"), condition={"state": "queued"}),
            SetIndex(fields=("lease_until",)),
            ("message_id",),
        )
