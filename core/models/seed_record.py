"""`SeedRecord`: which record a seed file made, and the values it shipped with.

An update overwrites a value only while the record still holds what was shipped.
"""

from __future__ import annotations

from core.orm import fields
from core.orm.record import Record


class SeedRecord(Record):
    """The link between an addon's identifier and the record behind it."""

    _of_host = True
    # Hashes of secrets are among them.
    _private = ("shipped",)

    addon = fields.CharField(max_length=64)
    identifier = fields.CharField(max_length=128)
    model = fields.CharField(max_length=100)
    record_id = fields.BigIntField()
    file = fields.CharField(max_length=255)
    shipped = fields.JSONField(default=dict)
    """Field name -> the value as shipped, in the plain form that seeds compare."""
    apply_once = fields.BooleanField(default=False)
    active = fields.BooleanField(default=True)

    class Meta:
        unique_together = (("addon", "identifier"),)
        indexes = (("model", "record_id"),)
