"""F31 to F33 and F35: the database restarts, is busy, loses commits or belongs to another version."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from core import clock
from core.runtime import Runtime, get_model
from tests.faults.conftest import LANES, MakeWorkers, on_postgres, on_sqlite
from tests.faults.full_disk import refusing
from tests.faults.locking import locked
from tests.faults.oracle import require
from tests.faults.rig import all_are, drain, ended, queue, queue_some, sending, until, use
from tests.servers.fake_mta import Act, FakeMta, Script
from tests.servers.postgres import Postgres

pytestmark = pytest.mark.anyio

OUTAGE_S = 1.0


@on_postgres
@pytest.mark.parametrize("point", ["claim", "connect", "rcpt", "accepted"])
async def test_f31_the_database_restarts(host: Runtime, mortal: Postgres, point: str) -> None:
    """In mid-claim, in mid-SMTP, between 250 and its commit: what is known is kept, and nothing is sent meanwhile."""
    async with FakeMta(Script(steps={"dot": Act(delay_s=0.2)})) as mta:
        await use(mta)
        await queue_some(LANES * 6)
        reached = asyncio.Event()
        mta.on_event = lambda name, _: reached.set() if name == point else None
        async with _claim_held_up(host, point == "claim"), sending():
            if point == "claim":
                await asyncio.sleep(0.3)
            else:
                await reached.wait()
            await asyncio.to_thread(mortal.stop_immediately)
            await asyncio.sleep(0.4)
            in_flight = len(mta.ledger)
            assert in_flight <= LANES * 2
            await asyncio.sleep(OUTAGE_S)
            assert len(mta.ledger) == in_flight, "it sent without a database"
            await asyncio.to_thread(mortal.start)
            await until(_all_sent, "the rest", 40)
        await require(mta.ledger)


async def _all_sent() -> bool:
    await _end_waits()
    return await all_are("sent")


async def _end_waits() -> None:
    """End the waits of what stepped aside; leases stay, since their workers live."""
    await get_model("ServerPause").all().delete()
    await get_model("Delivery").filter(state="queued").update(due_at=clock.now() - timedelta(seconds=1))


@asynccontextmanager
async def _claim_held_up(host: Runtime, is_wanted: bool) -> AsyncIterator[None]:
    """Somebody's lock keeps every claim waiting until the server goes down."""
    if not is_wanted:
        yield
        return
    other = await asyncpg.connect(host.settings.DATABASE_URL)
    await other.execute("BEGIN; LOCK TABLE delivery IN EXCLUSIVE MODE")
    yield
    other.terminate()


async def test_f31_a_locked_database_between_250_and_commit(host: Runtime) -> None:
    """The same for a database that answers nobody for a while."""
    await _be_impatient(host)
    async with FakeMta(Script(steps={"dot": Act(delay_s=0.1)})) as mta:
        await use(mta)
        await queue_some(LANES * 6)
        async with sending():
            await until(lambda: mta.ledger, "a mail on its way")
            async with locked(host):
                await asyncio.sleep(0.4)
                in_flight = len(mta.ledger)
                await asyncio.sleep(OUTAGE_S)
                assert len(mta.ledger) == in_flight < LANES * 6
            await until(lambda: all_are("sent"), "the rest")
        await require(mta.ledger)


async def test_f32_busy(host: Runtime) -> None:
    """Writers that come and go, each longer than our patience: tried again, with pauses that chance varies."""
    await _be_impatient(host)
    async with FakeMta() as mta:
        await use(mta)
        await queue_some(100)
        async with sending():
            for _ in range(5):
                async with locked(host):
                    await asyncio.sleep(0.25)
                await asyncio.sleep(0.02)
            await until(lambda: all_are("sent"), "all mails", 30)
        await require(mta.ledger)


@on_sqlite
async def test_f32_a_long_reader_keeps_nobody(host: Runtime) -> None:
    url = host.settings.DATABASE_URL.removeprefix("sqlite://")
    async with FakeMta() as mta:
        await use(mta)
        await queue_some(50)
        with closing(sqlite3.connect(url, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM delivery").fetchone()
            await drain()
            assert await all_are("sent")
        await require(mta.ledger)


async def _be_impatient(host: Runtime) -> None:
    """Wait for a lock a tenth of a second rather than 30 s."""
    if host.database.dialect.name == "sqlite":
        await host.database.fetch("PRAGMA busy_timeout = 100")
        return
    name = host.settings.DATABASE_URL.rpartition("/")[2]
    await host.database.execute(f"ALTER DATABASE {name} SET lock_timeout = '100ms'")
    await host.database.client._pool.expire_connections()  # type: ignore[attr-defined]


async def _cut_off(host: Runtime) -> int:
    """End all sessions of the host's database, as an administrator or a fail-over does; return how many."""
    url = host.settings.DATABASE_URL
    name = url.rpartition("/")[2]
    other = await asyncpg.connect(url.replace(f"/{name}", "/postgres"))
    try:
        return len(await other.fetch("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name))
    finally:
        await other.close()


SQLSTATES = {"40P01": "deadlock detected", "40001": "could not serialize access", "57P01": "terminating connection"}


@on_postgres
@pytest.mark.parametrize("code", SQLSTATES)
async def test_f32_what_postgres_takes_back(host: Runtime, code: str) -> None:
    """A transaction that the server gave up is tried again, whole; no update is lost."""
    async with FakeMta(Script(steps={"dot": Act(delay_s=0.05)})) as mta:
        await use(mta)
        await queue_some(LANES * 10)
        async with sending():
            await until(lambda: mta.ledger, "a mail on its way")
            for table in ("attempt", "delivery", "message"):
                async with refusing(host, code, SQLSTATES[code], table):
                    await asyncio.sleep(0.2)
            await until(_all_sent, "the rest", 30)
        await require(mta.ledger)


@on_postgres
async def test_f32_a_real_deadlock(host: Runtime) -> None:
    """Another program locks message, then delivery; the worker delivery, then message. One of both is the victim."""
    async with FakeMta(Script(steps={"dot": Act(delay_s=0.3)})) as mta:
        await use(mta)
        (message,) = await queue_some(1)
        other = await asyncpg.connect(host.settings.DATABASE_URL)
        async with sending():
            await until(lambda: mta.ledger, "the mail")
            try:
                async with other.transaction():
                    await other.execute("SELECT FROM message WHERE id = $1 FOR UPDATE", message.pk)
                    await asyncio.sleep(0.5)
                    await other.execute("SELECT FROM delivery WHERE message_id = $1 FOR UPDATE", message.pk)
            except asyncpg.DeadlockDetectedError:
                pass
            await until(lambda: all_are("sent"), "the mail's result", 20)
        await other.close()
        await require(mta.ledger)


@on_postgres
async def test_f32_sessions_are_killed(host: Runtime) -> None:
    """Every session, again and again, idle in a transaction or not."""
    chance = random.Random(32)
    async with FakeMta(Script(steps={"dot": Act(delay_s=0.02)})) as mta:
        await use(mta)
        await queue_some(150)
        async with sending():
            for _ in range(8):
                await asyncio.sleep(chance.uniform(0.01, 0.1))
                await _cut_off(host)
            await until(_all_sent, "all mails", 40)
        await require(mta.ledger)


@on_postgres
async def test_f32_no_connection_is_free(host: Runtime) -> None:
    """All of the pool is lent, and the server takes no new ones: it waits its turn."""
    pool: Any = host.database.client._pool  # type: ignore[attr-defined]
    async with FakeMta() as mta:
        await use(mta)
        await queue_some(30)
        lent = [await pool.acquire() for _ in range(10)]
        async with sending():
            await asyncio.sleep(0.5)
            assert not mta.ledger
            for one in lent:
                await pool.release(one)
            await until(lambda: all_are("sent"), "all mails", 20)
        await require(mta.ledger)


async def test_f33_commits_are_lost(host: Runtime, tmp_path: Path) -> None:
    """A fail-over, or a backup that is restored: what was sent since repeats, each at most once, with the same bytes.

    No database that forgets can prevent it. Readers' programs may drop the second copy by its Message-ID.
    """
    async with FakeMta() as mta:
        await use(mta)
        await queue_some(10)
        await drain()
        late = [await queue(f"late{number}@b.test") for number in range(5)]
        async with _rewound(host, tmp_path):
            await drain()
            assert len(mta.ledger) == 15
        assert {await _state_of(message) for message in late} == {"Queued"}
        await drain()
        verdict = await require(mta.ledger, repeats=len(late))
        assert verdict.repeats == len(late)


async def _state_of(message: Any) -> str:
    await message.refresh_from_db()
    return str(message.send_state)


@asynccontextmanager
async def _rewound(host: Runtime, folder: Path) -> AsyncIterator[None]:
    """At the end of the block the queue is as it was at its beginning."""
    database = host.database
    if database.dialect.name == "sqlite":
        original = database.url.removeprefix("sqlite://")
        with closing(sqlite3.connect(original)) as source, closing(sqlite3.connect(folder / "backup.db")) as backup:
            source.backup(backup)
        yield
        with closing(sqlite3.connect(folder / "backup.db")) as backup, closing(sqlite3.connect(original)) as target:
            backup.backup(target)
        return
    tables = ("attempt", "delivery", "message")
    for table in tables:
        await database.execute(f"CREATE TABLE kept_{table} AS TABLE {table}")
    yield
    for statement in (
        "ALTER TABLE attempt DISABLE TRIGGER ALL",
        "DELETE FROM attempt",
        "INSERT INTO attempt SELECT * FROM kept_attempt",
        "ALTER TABLE attempt ENABLE TRIGGER ALL",
    ):
        await database.execute(statement)
    for table in ("delivery", "message"):
        rows = await database.fetch(
            f"SELECT column_name FROM information_schema.columns WHERE table_name = '{table}' AND column_name <> 'id'"
        )
        sets = ", ".join(f"{row['column_name']} = kept.{row['column_name']}" for row in rows)
        await database.execute(f"UPDATE {table} SET {sets} FROM kept_{table} AS kept WHERE kept.id = {table}.id")


@pytest.mark.parametrize("stamp", ["newer", "none"])
async def test_f35_the_schema_is_another_ones(host: Runtime, workers: MakeWorkers, stamp: str) -> None:
    """A worker of another version does not start, and says what to do."""
    await queue()
    async with FakeMta() as mta:
        if stamp == "none":
            await get_model("SchemaMigration").filter(addon="").delete()
        else:
            await get_model("SchemaMigration").filter(addon="").update(checksum="0" * 64)
        worker = workers(mta).start()
        assert await ended(worker) not in (0, None)
        assert "postroom update" in worker.output
        assert not mta.ledger
        assert await all_are("queued")


async def test_f35_upgraded_while_running(host: Runtime) -> None:
    """Another version brings the database up to date under a running worker: it claims nothing more, and says why."""
    async with FakeMta() as mta:
        await use(mta)
        async with sending():
            await queue("before@b.test")
            await until(lambda: all_are("sent"), "the mail before")
            (stamp,) = await get_model("SchemaMigration").filter(addon="")
            await get_model("SchemaMigration").filter(addon="").update(checksum="f" * 64)
            await asyncio.sleep(0.8)  # A claim that was begun before may still be made.
            await queue("after@b.test")
            await asyncio.sleep(0.8)
            assert [one.recipient for one in mta.ledger] == ["before@b.test"]
            await get_model("SchemaMigration").filter(addon="").update(checksum=stamp.checksum)
            await until(lambda: all_are("sent"), "the mail after")
        await require(mta.ledger)
