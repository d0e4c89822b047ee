"""Writing the bytes of a large mail to the spool piece by piece.

PostgreSQL's client copies each parameter three times over, which for one mail of 25 MB is more than all else that a
worker needs. SQLite takes the bytes where they lie.
"""

from __future__ import annotations

from core.runtime import runtime

LARGE_BYTES = 2 * 1024 * 1024
_PIECE_BYTES = 1024 * 1024


def goes_in_pieces(raw: bytes) -> bool:
    """Tell whether a mail is to be written by `write_in_pieces`."""
    return len(raw) > LARGE_BYTES and runtime().database.dialect.name == "postgres"


async def write_in_pieces(email_id: int, raw: bytes) -> None:
    """Within the running transaction on PostgreSQL, write the content of a spool row that has none yet."""
    database = runtime().database
    await database.execute(
        "CREATE TEMP TABLE IF NOT EXISTS inbound_piece (place integer, piece bytea) ON COMMIT DELETE ROWS"
    )
    await database.execute("DELETE FROM inbound_piece")
    for place, start in enumerate(range(0, len(raw), _PIECE_BYTES)):
        piece = raw[start : start + _PIECE_BYTES]
        await database.execute("INSERT INTO inbound_piece (place, piece) VALUES ($1, $2)", [place, piece])
    await database.execute(
        """INSERT INTO inbound_raw (email_id, content)
           SELECT $1, string_agg(piece, ''::bytea ORDER BY place) FROM inbound_piece
           ON CONFLICT DO NOTHING""",
        [email_id],
    )
