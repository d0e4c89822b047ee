"""The bytes of a file as a request brings them: about a megabyte at a time, so that none lies in memory as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from tempfile import SpooledTemporaryFile
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from core.orm.blob import PIECE_BYTES
from core.runtime import get_model, settings
from core.web.tus import Checksum


class ChecksumMismatch(HTTPException):
    """What came is not what was sent (the status is tus's own)."""

    def __init__(self) -> None:
        super().__init__(460, "The bytes that came do not have this checksum; send them again.")


async def in_pieces(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Gather a request's body into pieces; where it breaks off, what came is yielded before ClientDisconnect."""
    waiting: list[bytes] = []
    size = 0
    try:
        async for chunk in stream:
            waiting.append(chunk)
            size += len(chunk)
            if size >= PIECE_BYTES:
                yield b"".join(waiting)
                waiting, size = [], 0
    except ClientDisconnect:
        if size:
            yield b"".join(waiting)
        raise
    if size:
        yield b"".join(waiting)


async def of_form(upload: UploadFile) -> AsyncIterator[bytes]:
    """Yield the pieces of a form's file, which the form parser has put on disk where it is large."""
    while piece := await upload.read(PIECE_BYTES):
        yield piece


async def checked(pieces: AsyncIterator[bytes], checksum: Checksum) -> AsyncIterator[bytes]:
    """Yield pieces once all of them are there and have the checksum; ChecksumMismatch otherwise."""
    digest = checksum.new()
    with SpooledTemporaryFile(max_size=PIECE_BYTES) as kept:
        async for piece in pieces:
            await asyncio.to_thread(_keep, kept, digest, piece)
        if digest.digest() != checksum.digest:
            raise ChecksumMismatch
        kept.seek(0)
        while piece := await asyncio.to_thread(kept.read, PIECE_BYTES):
            yield piece


async def store(pieces: AsyncIterator[bytes], **values: Any) -> Any:
    """Make an Attachment of a file that comes in one request, and leave nothing of one that breaks off.

    `values` are those of an Upload. Raises HTTPException 413 beyond MAX_FILE_BYTES.
    """
    model = get_model("Upload")
    first = await anext(pieces, b"")
    second = await anext(pieces, None)
    if second is None:
        _require_size(len(first))
        return await model.store_whole(first, **values)
    upload = await model.create(**values, expires_at=model.expiry())
    try:
        for piece in (first, second):
            await _append(upload, piece)
        async for piece in pieces:
            await _append(upload, piece)
        return await upload.finish()
    finally:
        # Its Attachment does not need it any more, and what broke off will not be resumed.
        await upload.delete()


async def _append(upload: Any, piece: bytes) -> None:
    _require_size(upload.offset_bytes + len(piece))
    await upload.append(piece)


def _require_size(size_bytes: int) -> None:
    if size_bytes > settings().MAX_FILE_BYTES:
        raise HTTPException(413, f"A file has at most {settings().MAX_FILE_BYTES} bytes (MAX_FILE_BYTES).")


def _keep(kept: SpooledTemporaryFile[bytes], digest: Any, piece: bytes) -> None:
    digest.update(piece)
    kept.write(piece)
