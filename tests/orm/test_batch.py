"""Batches of statements: all or none of each, whoever shares their commit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from tortoise.exceptions import IntegrityError

from core.orm import fields, schema
from core.orm.database import Database
from core.orm.record import Record
from core.orm.statement import Statement
from core.orm.transaction import transaction
from tests.orm.opened import opened

pytestmark = pytest.mark.anyio


class Item(Record):
    name = fields.CharField(max_length=10, unique=True)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with opened(database_url, Item) as database:
        await schema.apply(database)
        yield database


def _adding(database: Database, *names: str) -> list[Statement]:
    param = database.dialect.param(1)
    return [Statement(f"INSERT INTO item (name) VALUES ({param}) RETURNING name", [name]) for name in names]


async def _names(database: Database) -> list[str]:
    return [row["name"] for row in await database.fetch("SELECT name FROM item ORDER BY name")]


async def test_each_of_many_at_once_gets_its_own_rows(database: Database) -> None:
    done = await asyncio.gather(*(database.batch(_adding(database, f"a{n}", f"b{n}")) for n in range(40)))
    assert [[row["name"] for rows in one for row in rows] for one in done] == [[f"a{n}", f"b{n}"] for n in range(40)]
    assert len(await _names(database)) == 80


async def test_what_fails_undoes_its_own_batch_only(database: Database) -> None:
    batches = [_adding(database, f"n{n}", "taken" if n % 2 else f"m{n}") for n in range(10)]
    await database.batch(_adding(database, "taken"))
    done = await asyncio.gather(*map(database.batch, batches), return_exceptions=True)
    assert [isinstance(one, IntegrityError) for one in done] == [bool(n % 2) for n in range(10)]
    assert await _names(database) == sorted(["taken", *(f"{word}{n}" for n in range(0, 10, 2) for word in "mn")])


async def test_a_caller_that_goes_away_takes_nobody_along(database: Database) -> None:
    for steps in range(8):
        tasks = [asyncio.create_task(database.batch(_adding(database, f"{steps}.{n}"))) for n in range(4)]
        for _ in range(steps):
            await asyncio.sleep(0)
        tasks[0].cancel()
        tasks[2].cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
        assert {f"{steps}.1", f"{steps}.3"} <= set(await _names(database))


async def test_a_batch_in_a_transaction_is_of_it(database: Database) -> None:
    async def fails() -> None:
        async with transaction():
            await database.batch(_adding(database, "a", "b"))
            raise LookupError

    with pytest.raises(LookupError):
        await fails()
    async with transaction():
        with pytest.raises(IntegrityError):
            async with transaction():
                await database.batch(_adding(database, "c", "c"))
        await database.batch(_adding(database, "d"))
    assert await _names(database) == ["d"]
