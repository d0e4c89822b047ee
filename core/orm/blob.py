"""The bytes of one large column, read and put together piece by piece, so that a file never lies in memory as a whole.

SQLite opens the bytes where they lie (incremental BLOB I/O), PostgreSQL cuts them out itself: of what it could not
compress, which most large files are, it fetches no more than the piece.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from core.errors import UnknownName
from core.orm.database import Database

PIECE_BYTES = 1024 * 1024
_READ_BYTES = 4 * PIECE_BYTES
"""To find its place in a large file takes SQLite as long as to read some megabytes, so each piece read is larger."""


async def pieces_of(database: Database, table: str, row_id: int, start: int, end: int) -> AsyncIterator[bytes]:
    """Yield the bytes from `start` up to `end` of the column `content` of a row; UnknownName where it is gone."""
    while start < end:
        size = min(_READ_BYTES, end - start)
        yield await _piece(database, table, row_id, start, size)
        start += size


async def join_pieces(database: Database, table: str, row_id: int, size_bytes: int, parts: str, of_part: int) -> None:
    """Within the running transaction, write the `content` of a row: that of the rows of `parts`, by their `place`.

    `parts` is a table and its column, as in `upload_chunk.upload_id`, which is `of_part` in these rows.
    """
    of_parts, column = parts.split(".")
    if database.dialect.name == "sqlite":
        client: Any = database.client
        await client.step(partial(_joined, table, row_id, size_bytes, (of_parts, column, of_part)))
        return
    joined = f"SELECT coalesce(string_agg(content, ''::bytea ORDER BY place), '') FROM {of_parts} WHERE {column} = $1"
    await database.execute(f"UPDATE {table} SET content = ({joined}) WHERE id = $2", [of_part, row_id])


async def _piece(database: Database, table: str, row_id: int, start: int, size: int) -> bytes:
    if database.dialect.name == "sqlite":
        client: Any = database.client
        piece: bytes = await client.step(partial(_read, table, row_id, start, size))
        return piece
    cut = f"SELECT substring(content FROM $2::int FOR $3::int) AS piece FROM {table} WHERE id = $1"
    rows = await database.fetch(cut, [row_id, start + 1, size])
    if not rows:
        raise _gone(table, row_id)
    return bytes(rows[0]["piece"])


def _read(table: str, row_id: int, start: int, size: int, connection: sqlite3.Connection) -> bytes:
    try:
        with connection.blobopen(table, "content", row_id, readonly=True) as blob:
            blob.seek(start)
            return blob.read(size)
    except sqlite3.OperationalError as error:
        raise _gone(table, row_id) from error


def _joined(
    table: str, row_id: int, size_bytes: int, parts: tuple[str, str, int], connection: sqlite3.Connection
) -> None:
    of_parts, column, of_part = parts
    connection.execute(f"UPDATE {table} SET content = zeroblob(?) WHERE id = ?", (size_bytes, row_id))
    pieces = connection.execute(f"SELECT content FROM {of_parts} WHERE {column} = ? ORDER BY place", (of_part,))
    with connection.blobopen(table, "content", row_id) as blob:
        for (piece,) in pieces:
            blob.write(piece)


def _gone(table: str, row_id: int) -> UnknownName:
    return UnknownName(f"There is no {table} {row_id} any more.")
