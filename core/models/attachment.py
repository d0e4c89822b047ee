"""`Attachment`: a file, kept once and linked to by messages, templates and records."""

from __future__ import annotations

from hashlib import sha256
from mimetypes import guess_type
from typing import Any

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

    @classmethod
    async def keep(cls, name: str, content: bytes, content_type: str = "", **values: Any) -> Attachment:
        """Store a file, to be passed in `attachments`; its content type is told by its name where it is not given."""
        return await cls.create(
            name=name,
            content=content,
            content_type=content_type or guess_type(name)[0] or "application/octet-stream",
            size_bytes=len(content),
            sha256=sha256(content).hexdigest(),
            **values,
        )

    class Meta:
        indexes = (("res_model", "res_id"),)
