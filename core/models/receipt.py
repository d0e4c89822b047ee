"""`Receipt`: what a channel's provider told of a message after it had taken it."""

from __future__ import annotations

from core.orm import fields
from core.orm.record import Record


class Receipt(Record):
    """One piece of news, kept once however often it is told. `delivery` is None while nobody knows whose it is."""

    label_field = "remote_id"

    provider = fields.CharField(max_length=64)
    """The provider's key: `sms:3`."""
    remote_id = fields.CharField(max_length=180)
    """What the provider calls the message."""
    delivery = fields.ForeignKeyField(
        "models.Delivery", null=True, related_name="receipts", on_delete=fields.CASCADE
    )  # fmt: skip
    state = fields.SelectionField(
        {
            "accepted": "Accepted",
            "delivered": "Delivered",
            "read": "Read",
            "failed": "Failed",
            "received": "Received",
        }
    )
    """`received` is a message that came in."""
    at = fields.DatetimeField()
    words = fields.TextField(default="")
    created_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        unique_together = (("provider", "remote_id", "state"),)
        indexes = (("delivery_id",),)
