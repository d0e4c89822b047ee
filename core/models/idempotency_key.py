"""`IdempotencyKey`: what a caller's key has brought about, so that the same request again brings about nothing new."""

from __future__ import annotations

from core.orm import fields
from core.orm.record import Record


class IdempotencyKey(Record):
    """One key of one scope; a scope is whoever may choose keys freely, such as a user."""

    label_field = "key"
    _written_over_http = False
    _of_host = True
    # An answer is for who asked alone.
    _private = ("outcome",)

    scope = fields.CharField(max_length=64)
    key = fields.CharField(max_length=200)
    fingerprint = fields.CharField(max_length=64)
    """Of the request; the same key with another one is refused."""
    outcome = fields.JSONField(default=dict)
    created_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        unique_together = (("scope", "key"),)
