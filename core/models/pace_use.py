"""`PaceUse`: how much of a pace was used lately, in short slices of time that all workers share."""

from __future__ import annotations

from core.orm import fields
from core.orm.record import Record


class PaceUse(Record):
    """What was taken from one limit in one slice; slices that are over are deleted as new ones come."""

    limit_key = fields.CharField(max_length=300)
    """Names the server or domain, and the window: `server:3/60`."""
    slice = fields.BigIntField()
    used = fields.IntField()

    class Meta:
        unique_together = (("limit_key", "slice"),)
