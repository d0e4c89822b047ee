"""`Attachment`: a file, kept once and linked to by messages, templates and records."""

from __future__ import annotations

from hashlib import sha256
from mimetypes import guess_type
from typing import Any
from uuid import uuid4

from core.errors import UserError
from core.orm import fields
from core.orm.record import Record
from core.runtime import get_model

_DEFAULT_SPACE = 1
_IS_THE_FILE = frozenset({"name", "content", "content_type"})


class Attachment(Record):
    """The bytes of one file. They never change; a new version is a new attachment."""

    _written_over_http = False

    uuid = fields.CharField(max_length=36, unique=True, default=lambda: str(uuid4()))
    """What the world calls it: it is in addresses, and tells nothing of how many files there are."""
    identifier = fields.CharField(max_length=128, null=True, unique=True)
    name = fields.CharField(max_length=255)
    path = fields.CharField(max_length=400, null=True, unique=True)
    """What a file that was brought for a table's records is asked for by: `/space-1-table-2-…-brochure.pdf`."""
    content_type = fields.CharField(max_length=127, default="")
    content = fields.BinaryField()
    size_bytes = fields.BigIntField(default=0)
    sha256 = fields.CharField(max_length=64, default="", db_index=True)
    content_id = fields.CharField(max_length=255, null=True)
    """Set on an inline image: what its `cid:` link names."""
    res_model = fields.CharField(max_length=100, null=True)
    res_id = fields.BigIntField(null=True)
    created_at = fields.DatetimeField(auto_now_add=True)
    created_by = fields.ForeignKeyField("models.User", null=True, related_name="files", on_delete=fields.SET_NULL)
    """Who brought it. Until it belongs to a record or a message, it is nobody else's."""

    @classmethod
    async def keep(cls, name: str, content: bytes, content_type: str = "", **values: Any) -> Attachment:
        """Store a file, to be passed in `attachments`; its content type is told by its name where it is not given."""
        return await cls.create(name=name, content=content, content_type=content_type, **values)

    async def save(self, *args: Any, **kwargs: Any) -> None:
        """Store it, with what its bytes and name tell of it; UserError where it is stored already as another file."""
        if _IS_THE_FILE & set(kwargs.get("update_fields") or ()):
            reason = "A file's name and bytes never change, since mail that waits carries them"
            raise UserError(f"{reason}; make another attachment, and name that one.")
        if not self.sha256:
            self.size_bytes, self.sha256 = len(self.content), sha256(self.content).hexdigest()
        self.content_type = self.content_type or guess_type(self.name)[0] or "application/octet-stream"
        await super().save(*args, **kwargs)

    @classmethod
    def without_content(cls) -> Any:
        """Return a query for all about files but their bytes."""
        return cls.all().only(*(name for name in cls._meta.fields_db_projection if name != "content"))

    def path_for(self, table_id: int) -> str:
        """Return the path to ask for it by among a table's records; what was not brought for one has its uuid there."""
        return self.path or f"{self.path_prefix(table_id, None)}{self.uuid}-{self.name}"

    @classmethod
    def path_prefix(cls, table_id: int, company_id: int | None) -> str:
        """Return what the paths of files for a table's records begin with, `{spaceId}-{tableId}-`."""
        return f"/space-{company_id or _DEFAULT_SPACE}-table-{table_id}-"

    @classmethod
    async def new_path(cls, model: str, company_id: int | None, name: str) -> str:
        """Return a fresh path for a file of a model's records."""
        table = await get_model("ModelRegistry").get(identifier=model)
        return f"{cls.path_prefix(table.pk, company_id)}{uuid4().hex[:16]}-{name}"

    class Meta:
        indexes = (("res_model", "res_id"),)
