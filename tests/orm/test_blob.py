"""Large columns, piece by piece, on both databases."""

from __future__ import annotations

import os

import pytest

from core import clock
from core.errors import UnknownName
from core.orm.blob import PIECE_BYTES, join_pieces, pieces_of
from core.orm.transaction import transaction
from core.runtime import Runtime, get_model

pytestmark = pytest.mark.anyio


async def test_what_was_put_together_of_pieces_is_read_in_pieces(host: Runtime) -> None:
    content = os.urandom(6 * PIECE_BYTES + 7)
    user = await get_model("User").create(login="ann", name="Ann", password_hash="x")
    upload = await get_model("Upload").create(name="a", created_by=user, expires_at=clock.now())
    for place in (
        PIECE_BYTES,
        0,
        *range(2 * PIECE_BYTES, len(content), PIECE_BYTES),
    ):  # Their places count, not their ids.
        piece = content[place : place + PIECE_BYTES]
        await get_model("UploadChunk").create(upload=upload, place=place, content=piece)
    file = await get_model("Attachment").keep("a", b"")
    database = host.database
    async with transaction():
        await join_pieces(database, "attachment", file.pk, len(content), "upload_chunk.upload_id", upload.pk)
    pieces = [piece async for piece in pieces_of(database, "attachment", file.pk, 0, len(content))]
    assert b"".join(pieces) == content
    assert len(pieces) == 2
    start, end = PIECE_BYTES - 3, PIECE_BYTES + 3
    assert [piece async for piece in pieces_of(database, "attachment", file.pk, start, end)] == [content[start:end]]
    await file.delete()
    with pytest.raises(UnknownName):
        await anext(pieces_of(database, "attachment", file.pk, 0, 1))


async def test_nothing_put_together_is_empty(host: Runtime) -> None:
    file = await get_model("Attachment").keep("a", b"something")
    async with transaction():
        await join_pieces(host.database, "attachment", file.pk, 0, "upload_chunk.upload_id", 0)
    assert bytes((await get_model("Attachment").get(id=file.pk)).content) == b""
