"""F28 to F30: the machine fails: power, disk, rights, descriptors, threads."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from pathlib import Path
from random import Random
from typing import Any

import asyncpg
import pytest

from core.gateway.fetch import fetch_server
from core.orm.outage import database_errors
from core.runtime import Runtime, get_model
from tests.faults.conftest import LANES, MakeWorkers, on_postgres, on_sqlite
from tests.faults.full_disk import full, refusing
from tests.faults.oracle import require
from tests.faults.rig import all_are, drain, ended, finish, queue, queue_some, sending, until, use
from tests.servers.dovecot import PASSWORD, Dovecot
from tests.servers.fake_mta import Act, FakeMta, Script
from tests.servers.postgres import Postgres

pytestmark = pytest.mark.anyio

CUTS = 5
LONG_REPLY = "250 2.0.0 taken " + "x" * 3000
"""An answer whose attempt needs room of its own."""


@asynccontextmanager
async def _queueing(host: Runtime, folder: Path) -> AsyncIterator[tuple[subprocess.Popen[bytes], Path]]:
    """A process that queues mail without end; the file names what was acknowledged."""
    said = folder / "acknowledged"
    with said.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.enqueuer", host.settings.DATABASE_URL, str(folder)], stdout=output
        )
    try:
        await until(lambda: said.stat().st_size, "the first mail", 40)
        yield process, said
    finally:
        process.kill()
        process.wait()


@on_sqlite
async def test_f28_power_cut_sqlite(host: Runtime, tmp_path: Path) -> None:
    """Copies of file and log at random instants, and with a torn last write: whole, and all acknowledged mail there."""
    (pragma,) = await host.database.fetch("PRAGMA synchronous")
    assert pragma["synchronous"] == 2, "a commit must be on the disk before it is acknowledged"
    chance = Random(28)
    original = Path(host.settings.DATABASE_URL.removeprefix("sqlite://"))
    async with _queueing(host, tmp_path) as (process, said):
        for number in range(CUTS):
            await asyncio.sleep(chance.uniform(0.02, 0.2))
            process.send_signal(signal.SIGSTOP)
            acknowledged = said.read_text().split("\n")[:-1]
            copy = tmp_path / f"cut{number}.db"
            shutil.copyfile(original, copy)
            shutil.copyfile(f"{original}-wal", f"{copy}-wal")
            process.send_signal(signal.SIGCONT)
            if number % 2:
                with open(f"{copy}-wal", "ab") as log:
                    log.write(chance.randbytes(3000))
            _is_whole(copy, acknowledged)


def _is_whole(copy: Path, acknowledged: list[str]) -> None:
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert not connection.execute("PRAGMA foreign_key_check").fetchall()
        queued = "SELECT message.message_id FROM message JOIN delivery ON delivery.message_id = message.id"
        there = {row[0] for row in connection.execute(queued)}
    assert acknowledged
    assert set(acknowledged) <= there


@on_postgres
async def test_f28_power_cut_postgres(host: Runtime, mortal: Postgres, tmp_path: Path) -> None:
    """`pg_ctl -m immediate`, again and again: the server recovers from its log, and all acknowledged mail is there."""
    (shown,) = await host.database.fetch("SHOW synchronous_commit")
    assert shown["synchronous_commit"] == "on"
    chance = Random(28)
    for _ in range(2):
        async with _queueing(host, tmp_path) as (process, said):
            await asyncio.sleep(chance.uniform(0.05, 0.3))
            await asyncio.to_thread(mortal.stop_immediately)
            await until(lambda process=process: process.poll() is not None, "the end of whoever queued")
            acknowledged = said.read_text().split("\n")[:-1]
            await asyncio.to_thread(mortal.start)
        there = await get_model("Message").all().values_list("message_id", flat=True)
        assert set(acknowledged) <= set(there)
        assert await get_model("Delivery").all().count() == len(there)


async def test_f29_disk_full_at_enqueue(host: Runtime) -> None:
    """The caller hears of it, nothing is half-written, and the next mail after some tidying is queued."""
    await queue("first@b.test")
    async with full(host, "delivery"):
        with pytest.raises(database_errors(), match=r"full|No space"):
            await _queue_until_full()
    messages = await get_model("Message").all().count()
    assert await get_model("Delivery").all().count() == messages
    await queue("third@b.test")
    async with FakeMta(Script()) as mta:
        await use(mta)
        await drain()
        verdict = await require(mta.ledger)
        assert verdict.states["sent"] == messages + 1


async def _queue_until_full() -> None:
    for number in range(20):
        await queue(f"second{number}@b.test", body="<p>" + "0123456789" * 10_000 + "</p>")


async def test_f29_disk_full_at_the_result(host: Runtime) -> None:
    """Results that cannot be stored stop the sending; with room again they are stored, and nothing goes twice."""
    async with FakeMta(Script(steps={"dot": Act(reply=LONG_REPLY, delay_s=0.1)})) as mta:
        await use(mta)
        await queue_some(LANES * 6)
        async with sending():
            await until(lambda: mta.ledger, "a mail on its way")
            async with full(host, "attempt"):
                await asyncio.sleep(0.5)
                in_flight = len(mta.ledger)
                await asyncio.sleep(0.5)
                assert len(mta.ledger) == in_flight, "it went on sending what it could not write down"
                assert in_flight < LANES * 6
            await until(lambda: all_are("sent"), "the rest")
        await require(mta.ledger)


async def test_f29_disk_full_around_a_real_worker(host: Runtime, workers: MakeWorkers) -> None:
    """The process may write to no file any more: SQLite's log, its own log. It waits, and ends well afterwards."""
    async with FakeMta(Script(steps={"dot": Act(reply=LONG_REPLY, delay_s=0.1)})) as mta:
        await queue_some(LANES * 5)
        worker = workers(mta).start()
        await until(lambda: mta.ledger, "a mail on its way", 40)
        _, hard = resource.prlimit(worker.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(worker.process.pid, resource.RLIMIT_FSIZE, (1, hard))
        await asyncio.sleep(1)
        if host.database.dialect.name == "sqlite":
            sent = len(mta.ledger)
            await asyncio.sleep(0.5)
            assert len(mta.ledger) == sent < LANES * 5
        resource.prlimit(worker.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        await until(lambda: all_are("sent"), "the rest", 30)
        worker.process.terminate()
        assert await ended(worker) == 0
        await require(mta.ledger)


async def test_f29_disk_full_at_the_log(host: Runtime, workers: MakeWorkers) -> None:
    async with FakeMta(Script(steps={"dot": (Act(drop=True), None)})) as mta:
        await queue_some(LANES * 3)
        worker = workers(mta).start_with_full_log()
        await until(lambda: len(mta.ledger) == LANES * 3, "all mails", 40)
        await until(lambda: all_are("sent", "queued"), "their results")
        worker.process.terminate()
        assert await ended(worker) == 0
        await use(mta)
        await finish(2)
        await require(mta.ledger, repeats=1)


async def test_f29_disk_full_at_an_inbound_mail(host: Runtime, dovecot: Dovecot) -> None:
    """What could not be stored is not marked as seen, and comes in once there is room."""
    user = f"full{os.getpid()}{host.database.dialect.name}@mail.test"
    dovecot.add_user(user)
    account = {"server": "127.0.0.1", "port": dovecot.port, "use_ssl": False, "username": user, "password": PASSWORD}
    server = await get_model("IncomingMailServer").create(name=user, **account)
    mail = (
        b"From: a@b.test\r\nTo: x@our.test\r\nMessage-ID: <%d@b.test>\r\nSubject: x\r\n\r\n"
        + b"0123456789\r\n" * 20_000
    )
    dovecot.deliver(user, mail % 1, mail % 2)
    async with full(host, "inbound_raw", "inbound_email"):
        await _fetch_or_fail(server)
        assert not await get_model("InboundEmail").exists()
    await _fetch_or_fail(server)
    assert await get_model("InboundEmail").all().count() == 2


async def _fetch_or_fail(server: Any) -> None:
    await server.refresh_from_db()
    try:
        await fetch_server(server)
    except database_errors():
        return


async def test_f30_read_only_database(host: Runtime) -> None:
    """Nothing can be marked, so nothing is sent; once it can be written again, all goes on."""
    async with FakeMta(Script(steps={"dot": Act(delay_s=0.1)})) as mta:
        await use(mta)
        await queue_some(LANES * 5)
        async with sending():
            await until(lambda: mta.ledger, "a mail on its way")
            async with _read_only(host):
                await asyncio.sleep(0.4)
                in_flight = len(mta.ledger)
                await asyncio.sleep(0.5)
                assert len(mta.ledger) == in_flight < LANES * 5
                with pytest.raises(database_errors()):
                    await queue("late@b.test")
            await until(lambda: all_are("sent"), "the rest")
        await require(mta.ledger)


@asynccontextmanager
async def _read_only(host: Runtime) -> AsyncIterator[None]:
    if host.database.dialect.name == "sqlite":
        await host.database.fetch("PRAGMA query_only = ON")
        yield
        await host.database.fetch("PRAGMA query_only = OFF")
        return
    url = host.settings.DATABASE_URL
    name = url.rpartition("/")[2]
    other = await asyncpg.connect(url.replace(f"/{name}", "/postgres"))
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1"
    await other.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await other.fetch(cut, name)
    yield
    await other.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    await other.fetch(cut, name)
    await other.close()


@on_postgres
async def test_f30_a_right_taken_away(host: Runtime) -> None:
    async with FakeMta(Script(steps={"dot": Act(delay_s=0.1)})) as mta:
        await use(mta)
        await queue_some(LANES * 5)
        async with sending():
            await until(lambda: mta.ledger, "a mail on its way")
            async with refusing(host, "42501", "permission denied for table delivery", "delivery"):
                await asyncio.sleep(0.4)
                in_flight = len(mta.ledger)
                await asyncio.sleep(0.4)
                assert len(mta.ledger) == in_flight < LANES * 5
            await until(lambda: all_are("sent"), "the rest")
        await require(mta.ledger)


async def test_f30_few_descriptors(host: Runtime, workers: MakeWorkers) -> None:
    """`ulimit -n 64` and a hundred lanes: what finds no descriptor waits, and nothing is lost or repeated."""
    async with FakeMta(Script(steps={"dot": Act(delay_s=0.2)})) as mta:
        # Long enough for a busy machine's heartbeat; what cannot be given back meanwhile waits for its end.
        crew = workers(mta, SMTP_CONCURRENCY=100, LEASE_SECONDS=8)
        worker = await crew.started()
        resource.prlimit(worker.process.pid, resource.RLIMIT_NOFILE, (64, 1024))
        await queue_some(150)
        for _ in range(5):
            await asyncio.sleep(0.3)
            assert worker.process.poll() is None, worker.output
            await get_model("ServerPause").all().delete()
            await _make_due(host)
        resource.prlimit(worker.process.pid, resource.RLIMIT_NOFILE, (1024, 1024))

        async def all_sent() -> bool:
            await get_model("ServerPause").all().delete()
            await _make_due(host)
            return await all_are("sent")

        await until(all_sent, "the rest", 45)
        worker.process.terminate()
        assert await ended(worker) == 0
        await require(mta.ledger)


async def _make_due(host: Runtime) -> None:
    past = host.database.dialect.now(-1)
    await host.database.execute(f"UPDATE delivery SET due_at = {past} WHERE state = 'queued'")


class _NoThreads(ThreadPoolExecutor):
    """The kernel gives no further thread to this process."""

    def submit(self, *_: Any, **__: Any) -> Future[Any]:  # type: ignore[override]
        raise RuntimeError("can't start new thread")


async def test_f30_no_further_thread(host: Runtime) -> None:
    """Names are looked up in threads: without one no connection is opened, and mail waits."""
    loop = asyncio.get_running_loop()
    async with FakeMta(Script()) as mta:
        await use(mta)
        messages = await queue_some(LANES * 2)
        usual: Executor | None = getattr(loop, "_default_executor", None)
        loop.set_default_executor(_NoThreads())
        async with sending():
            await asyncio.sleep(0.5)
            assert not mta.ledger
            loop._default_executor = usual  # type: ignore[attr-defined]
            await finish(1)
            await until(lambda: all_are("sent"), "the mail")
        for message in messages:
            await message.refresh_from_db()
            assert message.retry_count == 0
        await require(mta.ledger)
