"""`Attachment`: a file, kept once and linked to by messages, templates and records."""

from __future__ import annotations

from core.orm import fields
from core.orm.record import Record


class Attachment(Record):
    """The bytes of one file. They never change; a new version is a new attachment."""

    identifier = fields.CharField(max_length=128, null=True, unique=True)
    name = fields.CharField(max_length=255)
    content_type = fields.CharField(max_length=127, default="application/octet-stream")
    content = fields.BinaryField()
    size_bytes = fields.BigIntField()
    sha256 = fields.CharField(max_length=64, db_index=True)
    content_id = fields.CharField(max_length=255, null=True)
    """Set on an inline image: what its `cid:` link names."""
    res_model = fields.CharField(max_length=100, null=True)
    res_id = fields.BigIntField(null=True)
    created_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        indexes = (("res_model", "res_id"),)
