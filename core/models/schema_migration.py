"""`SchemaMigration`: which migration files a database has been through, and which models it was made for."""

from __future__ import annotations

from core.orm import fields
from core.orm.record import Record


class SchemaMigration(Record):
    """A migration file that was applied, or skipped because the addon's tables were new.

    A row without `file` says that the addon was there; the one without `addon` holds the fingerprint of all models.
    """

    label_field = "file"

    addon = fields.CharField(max_length=64)
    file = fields.CharField(max_length=255)
    checksum = fields.CharField(max_length=64)
    applied_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        unique_together = (("addon", "file"),)
