"""`UploadChunk`: a piece of a file that is still coming."""

from __future__ import annotations

from core.orm import fields
from core.orm.record import Record


class UploadChunk(Record):
    """The bytes from `place` on, about a megabyte of them, until the file is whole."""

    label_field = "id"
    _written_over_http = False

    upload = fields.ForeignKeyField("models.Upload", related_name="chunks", on_delete=fields.CASCADE)
    place = fields.BigIntField()
    content = fields.BinaryField()

    class Meta:
        unique_together = (("upload", "place"),)
