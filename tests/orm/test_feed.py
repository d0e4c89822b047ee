from __future__ import annotations

import asyncio

import pytest

from core.config import load_configuration
from core.host.host import open_host
from core.orm.feed import Change, Entry, Feed
from core.runtime import Runtime

pytestmark = pytest.mark.anyio


async def entries(feed: Feed, count: int = 1) -> list[Entry]:
    """Wait until there are so many rows, and return them."""
    for _ in range(100):
        found = await feed.since(0, 100)
        if len(found) >= count:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(f"there are only {found}")


async def test_what_changes_in_a_moment_is_one_row(host: Runtime) -> None:
    for number in range(50):
        host.feed.add([Change("queue", ("Queued",)), Change("queue", ("Sent",), company_id=3)])
        host.feed.add([Change.of_timeline("Lead", 7, number % 2, "Sent")])
    (entry,) = await entries(host.feed)
    assert entry.changes == (
        Change("queue", ("Queued",)),
        Change("queue", ("Sent",), company_id=3),
        Change("record:Lead:7", ("Sent",), (0, 1)),
    )
    assert entry.id == await host.feed.position() == await host.feed.floor()


async def test_many_ids_are_any_ids(host: Runtime) -> None:
    host.feed.add([Change("record:Lead:7", ids=(number,)) for number in range(10_000)])
    (entry,) = await entries(host.feed)
    assert entry.changes == (Change("record:Lead:7"),)


async def test_many_records_are_any_records(host: Runtime) -> None:
    host.feed.add([Change.of_timeline("Lead", number, number, "Sent") for number in range(10_000)])
    host.feed.add([Change("user:3"), Change("user:4"), Change("queue", ("Sent",))])
    (entry,) = await entries(host.feed)
    assert len(entry.changes) < 210
    assert entry.changes[-3:] == (Change("record:Lead:*", ("Sent",)), Change("user:*"), Change("queue", ("Sent",)))


async def test_rows_are_read_in_order_from_where_one_was(host: Runtime) -> None:
    for name in ("queue", "cron", "inbound"):
        host.feed.add([Change(name)])
        await entries(host.feed, ["queue", "cron", "inbound"].index(name) + 1)
    rows = await entries(host.feed, 3)
    assert [row.changes[0].topic for row in rows] == ["queue", "cron", "inbound"]
    assert await host.feed.since(rows[0].id, 1) == [rows[1]]


async def test_old_rows_are_forgotten_but_for_the_newest(host: Runtime) -> None:
    for number in range(3):
        await host.database.execute(
            f"""INSERT INTO live_event (changes, created_at)
                VALUES ('[["queue",["{number}"],[],null,false]]', {host.database.dialect.now(-700)})"""
        )
    newest = await host.feed.position()
    host.feed.add([Change("queue", ("Sent",))])
    async with asyncio.timeout(5):
        while await host.feed.floor() <= newest:
            await asyncio.sleep(0.02)
    assert [row.changes for row in await host.feed.since(0, 10)] == [(Change("queue", ("Sent",)),)]


async def test_closing_writes_what_waits(host: Runtime, database_url: str) -> None:
    configuration = load_configuration(
        environment={}, overrides={"DATABASE_URL": database_url, "ADDONS": ["core"], "SECRET_KEY": "x"}
    )
    async with open_host(configuration) as other:
        other.feed.add([Change("cron", ("idle",))])
    assert (await host.feed.since(0, 1))[0].changes == (Change("cron", ("idle",)),)


async def test_what_could_not_be_written_is_written_later(host: Runtime) -> None:
    await host.database.script("ALTER TABLE live_event RENAME TO away")
    host.feed.add([Change("queue", ("Sent",))])
    await asyncio.sleep(0.05)
    host.feed.add([Change("queue", ("Failed",))])
    await asyncio.sleep(0.05)
    await host.database.script("ALTER TABLE away RENAME TO live_event")
    (entry,) = await entries(host.feed)
    assert entry.changes == (Change("queue", ("Failed", "Sent")),)


async def test_readers_of_two_writers_miss_nothing(host: Runtime, database_url: str) -> None:
    """Ids are seen in their order, whoever writes."""
    configuration = load_configuration(
        environment={}, overrides={"DATABASE_URL": database_url, "ADDONS": ["core"], "SECRET_KEY": "x"}
    )
    async with open_host(configuration) as other:
        seen: list[Entry] = []
        for number in range(20):
            host.feed.add([Change("queue", (f"a{number}",))])
            other.feed.add([Change("queue", (f"b{number}",))])
            seen += await host.feed.since(seen[-1].id if seen else 0, 100)
            await asyncio.sleep(0.02)
    wanted = {f"{who}{number}" for who in "ab" for number in range(20)}
    async with asyncio.timeout(5):
        while {state for row in seen for change in row.changes for state in change.states} != wanted:
            seen += await host.feed.since(seen[-1].id, 100)
            await asyncio.sleep(0.02)
