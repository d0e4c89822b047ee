"""What a cancelled transaction must not leave behind: an open one, a connection that is never given back."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import pytest

from core.orm import fields
from core.orm.record import Record
from core.orm.transaction import transaction
from tests.orm.opened import opened

pytestmark = pytest.mark.anyio


class Note(Record):
    name = fields.CharField(max_length=20)


async def test_a_cancelled_begin_leaves_no_transaction_open(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with opened(f"sqlite://{path}", Note) as database:
        await database.script("CREATE TABLE note (id INTEGER PRIMARY KEY, name TEXT)")
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            waiting = asyncio.create_task(_empty_transaction())
            await asyncio.sleep(0.02)
            waiting.cancel()
            await asyncio.sleep(0.02)
            other.execute("ROLLBACK")
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await database.execute("INSERT INTO note (name) VALUES ('kept')")
            assert other.execute("SELECT name FROM note").fetchall() == [("kept",)]
        await _empty_transaction()


async def test_a_cancelled_begin_gives_its_connection_back(postgres_url: str) -> None:
    async with opened(f"{postgres_url}?maxsize=1", Note) as database:
        for steps in range(12):
            task = asyncio.create_task(_empty_transaction())
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            async with asyncio.timeout(5):
                await _empty_transaction()
                assert await database.fetch("SELECT 1 AS one") == [{"one": 1}]


async def _empty_transaction() -> None:
    async with transaction():
        await asyncio.sleep(0)
