"""Writes of several parts: one whole on either database, whatever comes first seen by what comes after."""

from __future__ import annotations

from typing import Any

import pytest

from core.orm import fields
from core.orm.record import Record
from core.orm.writes import Writes
from tests.orm.opened import opened

pytestmark = pytest.mark.anyio


class Note(Record):
    name = fields.CharField(max_length=20)


async def _write(url: str, name: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    async with opened(url, Note) as database:
        await database.script("CREATE TABLE note (id INTEGER PRIMARY KEY, name VARCHAR(20) NOT NULL)")
        writes = Writes(database.dialect)
        columns = {"id": "int", "name": "text"}
        writes.insert("note", columns, [(1, "one"), (2, name)])
        await writes.run(database)
        writes = Writes(database.dialect)
        for number, new in ((1, "first"), (2, "second")):
            change = f"UPDATE note SET name = {writes.param(new)} WHERE id = {writes.param(number)} RETURNING id, name"
            writes.add(f"changed_{number}", change, tells="id, name")
        writes.insert("note", columns, [(3, "third")])
        told = await writes.run(database)
        return told, await database.fetch("SELECT id, name FROM note ORDER BY id")


async def test_all_parts_are_written_and_tell_what_they_return(database_url: str) -> None:
    told, kept = await _write(database_url, "two")
    assert sorted(row["name"] for row in told) == ["first", "second"]
    assert [row["name"] for row in kept] == ["first", "second", "third"]
