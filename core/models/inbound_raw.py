"""`InboundRaw`: the bytes of a received mail, apart from its row, which changes with every step while they never do."""

from __future__ import annotations

from core.orm import fields
from core.orm.record import Record


class InboundRaw(Record):
    """One mail exactly as it came."""

    label_field = "id"

    email = fields.ForeignKeyField("models.InboundEmail", related_name="raw_mails", on_delete=fields.CASCADE)
    content = fields.BinaryField()

    class Meta:
        unique_together = (("email",),)
