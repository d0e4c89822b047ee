"""Opening an SQLite file beside others who are opening it."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from core.errors import TemporaryFailure
from core.orm import database as opening
from core.orm.sqlite import ImmediateSqliteClient
from tests.orm.opened import opened

pytestmark = pytest.mark.anyio


async def test_a_new_file_is_opened_by_many_at_the_same_time(tmp_path: Path) -> None:
    # SQLite refuses one in ten at once, busy_timeout or not, as two of them turn the file to WAL.
    for number in range(40):
        path = str(tmp_path / f"{number}.db")
        clients = [ImmediateSqliteClient(path, connection_name="x", busy_timeout=30_000) for _ in range(4)]
        try:
            opened_ones = [client.create_connection(True) for client in clients]
            assert await asyncio.gather(*opened_ones, return_exceptions=True) == [None] * 4
            for client in clients:
                said = [(await client.execute_query(f"PRAGMA {name}"))[1] for name in ("foreign_keys", "journal_mode")]
                assert [tuple(rows[0]) for rows in said] == [(1,), ("wal",)]
        finally:
            await asyncio.gather(*(client.close() for client in clients))


async def test_a_file_that_stays_locked_is_a_temporary_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(opening._SQLITE_PRAGMAS, "busy_timeout", 50)
    path = tmp_path / "postroom.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TemporaryFailure, match="locked"):
            async with opened(f"sqlite://{path}"):
                pass
