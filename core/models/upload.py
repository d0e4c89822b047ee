"""`Upload`: a file that is still coming, piece by piece, to whichever worker; once whole it is an Attachment."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from hashlib import sha256
from mimetypes import guess_type
from typing import Any
from uuid import uuid4

from core import clock
from core.cron.method import cron_method
from core.mail.file_type import BYTES, START_BYTES, content_type_of
from core.orm import fields
from core.orm.blob import join_pieces
from core.orm.record import Record
from core.orm.transaction import transaction
from core.runtime import get_model, runtime

_DROPPED_AT_ONCE = 8


class Upload(Record):
    """What is known of a file on its way. Its uuid becomes the Attachment's."""

    _written_over_http = False

    uuid = fields.CharField(max_length=36, unique=True, default=lambda: str(uuid4()))
    name = fields.CharField(max_length=255)
    said_type = fields.CharField(max_length=127, default="")
    """What its sender calls it."""
    metadata = fields.TextField(default="")
    """As a resuming client sent it, to be given back."""
    size_bytes = fields.BigIntField(null=True)
    """None where that shows at the end only."""
    offset_bytes = fields.BigIntField(default=0)
    """How much of it is here."""
    res_model = fields.CharField(max_length=100, null=True)
    res_id = fields.BigIntField(null=True)
    path = fields.CharField(max_length=400, null=True)
    created_by = fields.ForeignKeyField("models.User", related_name="uploads", on_delete=fields.CASCADE)
    created_at = fields.DatetimeField(auto_now_add=True)
    expires_at = fields.DatetimeField(db_index=True)
    finished_at = fields.DatetimeField(null=True)

    async def append(self, piece: bytes) -> bool:
        """Keep what comes next, and whether it does: not where another request wrote there meanwhile."""
        here = self.offset_bytes
        async with transaction():
            waiting = type(self).filter(id=self.pk, offset_bytes=here, finished_at__isnull=True)
            if not await waiting.update(offset_bytes=here + len(piece)):
                return False
            await get_model("UploadChunk").create(upload_id=self.pk, place=here, content=piece)
        self.offset_bytes = here + len(piece)
        return True

    async def finish(self) -> Any:
        """Make the Attachment, all or nothing, and return it; a second call finds the first one's."""
        files = get_model("Attachment")
        if self.finished_at is None:
            digest, start = await self._read()
            async with transaction():
                now = clock.now()
                if await type(self).filter(id=self.pk, finished_at__isnull=True).update(finished_at=now):
                    file = await files.create(
                        **self._values(), sha256=digest, content_type=_type(self, start), content=b""
                    )
                    size, database = self.offset_bytes, runtime().database
                    await join_pieces(database, "attachment", file.pk, size, "upload_chunk.upload_id", self.pk)
            await self._drop_chunks()
        return await files.without_content().get_or_none(uuid=self.uuid)

    @classmethod
    async def store_whole(cls, content: bytes, **values: Any) -> Any:
        """Make the Attachment of a file that is here at once; `values` are those of an Upload."""
        upload = cls(**values, offset_bytes=len(content))
        digest, kind = sha256(content).hexdigest(), _type(upload, content)
        return await get_model("Attachment").create(
            **upload._values(), sha256=digest, content_type=kind, content=content
        )

    @classmethod
    @cron_method
    async def cron_sweep(cls) -> int:
        """Forget the uploads whose time is over, with what came of them; return how many."""
        over = cls.filter(expires_at__lte=clock.now())
        count: int = await over.count()
        await over.delete()
        return count

    @classmethod
    def expiry(cls) -> Any:
        """Return until when an upload that begins, or goes on, now is waited for."""
        return clock.now() + timedelta(hours=runtime().settings.UPLOAD_HOURS)

    def _values(self) -> dict[str, Any]:
        names = ("uuid", "name", "res_model", "res_id", "path", "created_by_id")
        return {**{name: getattr(self, name) for name in names}, "size_bytes": self.offset_bytes}

    async def _drop_chunks(self) -> None:
        """Delete what is not needed any more, a few pieces at a time: on SQLite all else waits for each."""
        chunks = get_model("UploadChunk")
        ids = await chunks.filter(upload_id=self.pk).values_list("id", flat=True)
        for start in range(0, len(ids), _DROPPED_AT_ONCE):
            await chunks.filter(id__in=list(ids[start : start + _DROPPED_AT_ONCE])).delete()

    async def _read(self) -> tuple[str, bytes]:
        """Return the hash of all that came, and how it begins. No more than a piece of it is in memory at a time."""
        chunks = get_model("UploadChunk").filter(upload_id=self.pk).order_by("place")
        digest, start = sha256(), b""
        for chunk_id in await chunks.values_list("id", flat=True):
            chunk = await get_model("UploadChunk").get(id=chunk_id)
            await asyncio.to_thread(digest.update, chunk.content)
            if len(start) < START_BYTES:
                start += chunk.content[:START_BYTES]
        return digest.hexdigest(), start


def _type(upload: Upload, start: bytes) -> str:
    said = upload.said_type if upload.said_type not in ("", BYTES) else guess_type(upload.name)[0]
    return content_type_of(start, said or "")
