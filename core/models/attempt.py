"""`Attempt`: one try to hand a delivery to a server, with what the server said."""

from __future__ import annotations

from core.orm import fields
from core.orm.record import Record


class Attempt(Record):
    """How far one try came. Rows are written once and never changed."""

    delivery = fields.ForeignKeyField("models.Delivery", related_name="tries", on_delete=fields.CASCADE)
    at = fields.DatetimeField()
    outcome = fields.CharField(max_length=16)
    """sent, temporary, permanent, server, unknown or dropped (`core.mail.retry.Outcome`)."""
    phase = fields.CharField(max_length=16)
    code = fields.IntField(null=True)
    enhanced = fields.CharField(max_length=16, null=True)
    reply = fields.TextField(default="")
    server = fields.CharField(max_length=255, default="")
    tls = fields.CharField(max_length=64, default="")
    duration_ms = fields.IntField(default=0)
    worker = fields.CharField(max_length=128, default="")

    class Meta:
        indexes = (("delivery_id",),)
