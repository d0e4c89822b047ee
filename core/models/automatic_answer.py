"""`AutomaticAnswer`: who was answered by a program lately, so that nobody is answered twice and no loop begins."""

from __future__ import annotations

from core.orm import fields
from core.orm.record import Record


class AutomaticAnswer(Record):
    """The last automatic answer to one address; forgotten when another one may follow."""

    label_field = "address"

    address = fields.CharField(max_length=320, unique=True)
    purpose = fields.CharField(max_length=64)
    """`refusal`, or `acknowledgement`."""
    answered_at = fields.DatetimeField(db_index=True)
