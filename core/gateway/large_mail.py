"""Writing the bytes of a large mail, or of a large file of one, to the database piece by piece, and reading them so.

PostgreSQL's client copies each parameter three times over, which for one mail of 25 MB is more than all else that a
worker needs. SQLite takes the bytes where they lie.
"""

from __future__ import annotations

from core.runtime import runtime

LARGE_BYTES = 2 * 1024 * 1024
_PIECE_BYTES = 1024 * 1024


def goes_in_pieces(content: bytes) -> bool:
    """Tell whether bytes are to be written by `write_in_pieces`."""
    return len(content) > LARGE_BYTES and runtime().database.dialect.name == "postgres"


async def write_in_pieces(table: str, key: str, row_id: int, content: bytes) -> None:
    """Within the running transaction on PostgreSQL, write the `content` of the row of a table with that key."""
    database = runtime().database
    await database.execute(
        "CREATE TEMP TABLE IF NOT EXISTS inbound_piece (place integer, piece bytea) ON COMMIT DELETE ROWS"
    )
    await database.execute("DELETE FROM inbound_piece")
    for place, start in enumerate(range(0, len(content), _PIECE_BYTES)):
        piece = content[start : start + _PIECE_BYTES]
        await database.execute("INSERT INTO inbound_piece (place, piece) VALUES ($1, $2)", [place, piece])
    await database.execute(
        f"""UPDATE {table} SET content = (SELECT string_agg(piece, ''::bytea ORDER BY place) FROM inbound_piece)
            WHERE {key} = $1""",
        [row_id],
    )


async def read_in_pieces(table: str, key: str, row_id: int) -> bytes:
    """Return the `content` of the row of a table with that key, on PostgreSQL."""
    database = runtime().database
    pieces: list[bytes] = []
    while not pieces or len(pieces[-1]) == _PIECE_BYTES:
        start = len(pieces) * _PIECE_BYTES + 1
        rows = await database.fetch(
            f"SELECT substring(content FROM {start} FOR {_PIECE_BYTES}) AS piece FROM {table} WHERE {key} = $1",
            [row_id],
        )
        pieces.append(bytes(rows[0]["piece"]))
    return b"".join(pieces)
