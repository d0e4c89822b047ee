from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from core.orm import fields, schema
from core.orm.database import Database
from core.orm.record import Record
from core.orm.transaction import Callback, after_commit, refuse_inside, rehearsal, transaction
from tests.orm.opened import opened

pytestmark = pytest.mark.anyio


class Item(Record):
    name = fields.CharField(max_length=10, unique=True)


class Oops(Exception):
    pass


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with opened(database_url, Item) as database:
        await schema.apply(database)
        yield database


class Log(list[str]):
    """What was called, in order."""

    def note(self, word: str) -> Callback:
        async def call() -> None:
            self.append(word)

        return call


async def names(database: Database) -> list[str]:
    return [item.name for item in await database.registry.get("Item").all().order_by("name")]


async def test_callbacks_run_around_the_commit(database: Database) -> None:
    log = Log()
    async with transaction() as running:
        running.after_commit(log.note("after"))
        running.before_commit(log.note("before"))
        await after_commit(log.note("after too"))
        log.append("inside")
    await after_commit(log.note("at once"))
    assert log == ["inside", "before", "after", "after too", "at once"]


async def test_nothing_is_left_of_a_transaction_that_fails(database: Database) -> None:
    log = Log()

    async def fail() -> None:
        async with transaction() as running:
            running.after_commit(log.note("after"))
            await database.registry.get("Item").create(name="a")
            raise Oops

    with pytest.raises(Oops):
        await fail()
    assert await names(database) == []
    assert log == []


async def test_what_a_before_commit_callback_raises_rolls_back(database: Database) -> None:
    async def refuse() -> None:
        raise Oops

    async def write() -> None:
        async with transaction() as running:
            await database.registry.get("Item").create(name="a")
            running.before_commit(refuse)

    with pytest.raises(Oops):
        await write()
    assert await names(database) == []


async def test_an_inner_transaction_takes_only_its_own_back(database: Database) -> None:
    log = Log()
    model = database.registry.get("Item")

    async def fail() -> None:
        async with transaction() as inner:
            await model.create(name="b")
            inner.after_commit(log.note("lost"))
            raise Oops

    async with transaction() as outer:
        await model.create(name="a")
        with pytest.raises(Oops):
            await fail()
        async with transaction() as inner:
            assert inner is outer
            await model.create(name="c")
            inner.after_commit(log.note("kept"))
        assert log == []
    assert await names(database) == ["a", "c"]
    assert log == ["kept"]


async def test_a_rehearsal_keeps_nothing_and_gives_its_result(database: Database) -> None:
    log = Log()

    async def rehearse() -> list[str]:
        async with rehearsal() as running:
            running.before_commit(log.note("before"))
            await database.registry.get("Item").create(name="a")
            async with transaction():
                await database.registry.get("Item").create(name="b")
                await after_commit(log.note("after"))
            return await names(database)

    assert await rehearse() == ["a", "b"]
    async with transaction():
        assert await rehearse() == ["a", "b"]
        assert await names(database) == []
    assert await names(database) == []


async def test_a_memo_lasts_as_long_as_the_outermost_transaction(database: Database) -> None:
    async with transaction() as outer:
        async with transaction() as inner:
            inner.memo["seen"] = True
        assert outer.memo == {"seen": True}
    async with transaction() as other:
        assert other.memo == {}


async def test_an_inner_transaction_takes_its_memo_back(database: Database) -> None:
    async with transaction() as outer:
        outer.memo["kept"] = 1
        async with rehearsal() as inner:
            inner.memo |= {"kept": 2, "lost": 3}
        assert outer.memo == {"kept": 1}


async def test_a_task_cannot_join_a_transaction_that_has_ended(database: Database) -> None:
    ended = asyncio.Event()

    async def late() -> None:
        await ended.wait()
        async with transaction():
            await database.registry.get("Item").create(name="late")

    async with transaction():
        task = asyncio.create_task(late())
    ended.set()
    with pytest.raises(RuntimeError, match="has ended"):
        await task
    assert await names(database) == []


async def test_what_must_stay_outside_says_so(database: Database) -> None:
    refuse_inside("Sending")
    async with transaction():
        with pytest.raises(RuntimeError, match="Sending inside a transaction"):
            refuse_inside("Sending")
    refuse_inside("Sending")
