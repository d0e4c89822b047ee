"""F34 and F36: clocks that disagree, and a network that is split between a worker and its database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core import clock
from core.delivery import engine
from core.delivery.claim import claim
from core.delivery.engine import Engine
from core.delivery.servers import note_fault
from core.runtime import Runtime, get_model
from tests.faults.conftest import LANES, LEASE_S, MakeWorkers, on_postgres
from tests.faults.oracle import require
from tests.faults.proxy import Proxy
from tests.faults.rig import all_are, drain, ended, finish, outcomes, queue, queue_some, sending, until, use
from tests.servers.fake_mta import Act, FakeMta, Script
from tests.servers.postgres import Postgres

pytestmark = pytest.mark.anyio

DAY, HOUR, SKEW = timedelta(days=1), timedelta(hours=1), timedelta(minutes=10)
SKEWS = [DAY, -HOUR, SKEW, -SKEW]


@contextmanager
def _off_by(skew: timedelta) -> Iterator[None]:
    """This task's clock is wrong; the database's is right."""
    with clock.clock_at(lambda: datetime.now(UTC) + skew):
        yield


async def _drain_off_by(skew: timedelta) -> None:
    with _off_by(skew):
        await drain()


@pytest.mark.parametrize("skew", SKEWS, ids=str)
async def test_f34_due_is_due_by_the_databases_clock(host: Runtime, skew: timedelta) -> None:
    """A worker whose clock is wrong sends nothing early and nothing late, whoever queued it."""
    async with FakeMta() as mta:
        await use(mta)
        await queue("now@b.test")
        with _off_by(skew):
            await queue("skewed@b.test")
        later = await queue("later@b.test", scheduled_at=datetime.now(UTC) + timedelta(minutes=30))
        await _drain_off_by(skew)
        assert {one.recipient for one in mta.ledger} == {"now@b.test", "skewed@b.test"}
        await later.refresh_from_db()
        assert later.send_state == "Queued"
        await require(mta.ledger, states={"sent": 2, "queued": 1})


async def test_f34_workers_whose_clocks_differ(host: Runtime) -> None:
    """No row is claimed twice, and no live worker's lease looks ended to another one."""
    async with FakeMta(Script(steps={"dot": Act(delay_s=0.02)})) as mta:
        await use(mta)
        await queue_some(120)
        await asyncio.gather(*(_drain_off_by(skew) for skew in SKEWS))
        await require(mta.ledger)


@pytest.mark.parametrize("skew", SKEWS, ids=str)
async def test_f34_a_dead_workers_rows_are_free_after_a_lease(host: Runtime, skew: timedelta) -> None:
    """However wrong the dead worker's clock was, or the database's at that time: at most two leases."""
    async with FakeMta() as mta:
        await use(mta)
        await queue_some(6)
        with _off_by(skew):
            await claim(3)
        await claim(3)
        # The database's clock is set back by an hour: what was leased before seems leased for long.
        rows = get_model("Delivery").filter(state="claimed").limit(2)
        ids = await rows.values_list("id", flat=True)
        await get_model("Delivery").filter(id__in=ids).update(lease_until=datetime.now(UTC) + HOUR)
        await asyncio.sleep(LEASE_S + 0.1)
        await drain()
        await require(mta.ledger)


@pytest.mark.parametrize("skew", [DAY, -HOUR], ids=str)
async def test_f34_a_pause_is_as_long_as_it_says(host: Runtime, skew: timedelta) -> None:
    """A pause that a worker with a wrong clock gave is over for all when its time is over by the database's."""
    async with FakeMta() as mta:
        server = await use(mta)
        await queue_some(3)
        with _off_by(skew):
            for _ in range(5):
                wait = await note_fault(str(server.pk), "it was refused")
        assert timedelta(0) < wait <= timedelta(seconds=30)
        pause = await get_model("ServerPause").get(server=str(server.pk))
        assert abs(pause.until_at - datetime.now(UTC)) < timedelta(seconds=60)
        await _drain_off_by(skew)
        assert not mta.ledger, "paused is paused, whatever this worker's clock says"
        past = datetime.now(UTC) - timedelta(seconds=1)
        await get_model("ServerPause").all().update(until_at=past)
        await get_model("Delivery").all().update(due_at=past)
        await _drain_off_by(skew)
        await require(mta.ledger)


@pytest.fixture
def time_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    yield monkeypatch
    monkeypatch.undo()
    time.tzset()


async def test_f34_the_machines_zone_changes(host: Runtime, time_zone: pytest.MonkeyPatch) -> None:
    """All times are UTC, so that a zone's change, in the middle of it all, moves nothing."""
    async with FakeMta(Script(recipients={"kim@b.test": (Act(reply="450 4.2.0 later"), None)})) as mta:
        await use(mta)
        message = await queue()
        for zone in ("Pacific/Auckland", "America/Los_Angeles"):
            time_zone.setenv("TZ", zone)
            time.tzset()
            await drain()
            await message.refresh_from_db()
            wait = message.next_retry_at - datetime.now(UTC)
            assert timedelta(minutes=4) < wait < timedelta(minutes=6)
        await finish(1)
        await require(mta.ledger)


DST = {"spring": datetime(2027, 3, 28, 0, 59, 59, tzinfo=UTC), "autumn": datetime(2026, 10, 25, 0, 59, 59, tzinfo=UTC)}


@pytest.mark.parametrize("change", DST)
async def test_f34_summer_time(host: Runtime, change: str, time_zone: pytest.MonkeyPatch) -> None:
    """Across both changes of Berlin's clocks a mail's Date goes on by what passed, and each mail goes once."""
    time_zone.setenv("TZ", "Europe/Berlin")
    time.tzset()
    async with FakeMta() as mta:
        await use(mta)
        dates = []
        for second in (0, 2):
            with clock.clock_at(DST[change] + timedelta(seconds=second)):
                message = await queue(f"kim{second}@b.test")
                dates.append(message.date_at)
                await drain()
        assert dates[1] - dates[0] == timedelta(seconds=2)
        await require(mta.ledger)


@pytest.fixture
async def proxy(mortal: Postgres) -> AsyncIterator[Proxy]:
    async with Proxy(mortal.port) as proxy:
        yield proxy


@on_postgres
@pytest.mark.parametrize("heals", ["goes on", "was cut"])
async def test_f36_a_worker_without_its_database(
    host: Runtime, mortal: Postgres, proxy: Proxy, workers: MakeWorkers, heals: str
) -> None:
    """SMTP works, the database does not answer: nothing new is begun, and another worker takes over.

    When the network heals, what the first one heard is recorded if nobody knows better by then.
    """
    async with FakeMta(Script(steps={"dot": Act(delay_s=0.1)})) as mta:
        await queue_some(LANES * 6)
        url = host.settings.DATABASE_URL.replace(f":{mortal.port}/", f":{proxy.port}/")
        worker = workers(mta, DATABASE_URL=url).start()
        await until(lambda: mta.ledger, "a mail on its way", 40)
        proxy.stall()
        await asyncio.sleep(0.3)
        in_flight = len(mta.ledger)
        await asyncio.sleep(0.4)
        assert len(mta.ledger) == in_flight < LANES * 6, "it began mail that it could not mark"
        await use(mta)
        await asyncio.sleep(LEASE_S)
        async with sending():
            await until(lambda: all_are("sent", "queued"), "the other worker")
            await until(lambda: get_model("Delivery").filter(state="sent").count(), "its mail")
        assert worker.process.poll() is None
        if heals == "was cut":
            proxy.cut()
        proxy.resume()
        await _heard(mta, worker)
        await finish(2)
        worker.process.terminate()
        assert await ended(worker) == 0
        await require(mta.ledger, repeats=LANES)


async def _heard(mta: FakeMta, worker: Any) -> None:
    """Give the worker that is back the time to say what it knew."""
    for _ in range(40):
        if await all_are("sent"):
            return
        await asyncio.sleep(0.05)


@on_postgres
async def test_f36_stopped_while_cut_off(host: Runtime, mortal: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is stopped without its database ends all the same; a sweep finds in doubt what it knew."""
    monkeypatch.setattr(engine, "_GRACE_S", 0.3)
    away = asyncio.Event()
    async with FakeMta(Script(steps={"dot": (*[Act(after=away)] * LANES, None)})) as mta:
        await use(mta)
        await queue_some(LANES)
        stop = asyncio.Event()
        async with asyncio.timeout(30):
            worker = Engine()
            running = asyncio.create_task(worker.run(stop))
            await until(lambda: len(mta.ledger) == LANES, "the mails in flight")
            await asyncio.to_thread(mortal.stop_immediately)
            away.set()
            await until(lambda: worker.ledger.recorded_at > 0, "the server's answers")
            stop.set()
            await running
            await worker.ledger.aclose(grace_s=0.2)
            await asyncio.gather(*(pool.aclose() for pool in worker._pools.values()))
        await asyncio.to_thread(mortal.start)
        await until(lambda: get_model("Delivery").exists(state="sending"), "what it left")
        await finish(2)
        assert (await outcomes()).count("unknown") == LANES
        await require(mta.ledger, repeats=LANES)
