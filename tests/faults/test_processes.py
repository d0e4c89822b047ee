"""F19 to F25: real workers that are stopped, killed and frozen, each at a moment that the server sees on its wire."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from time import monotonic

import pytest

from core.delivery import engine
from core.delivery.engine import Engine
from core.runtime import Runtime, get_model
from tests.acceptance.command import Running
from tests.faults.conftest import LANES, LEASE_S, MakeWorkers
from tests.faults.locking import locked
from tests.faults.oracle import require
from tests.faults.rig import all_are, drain, ended, finish, kill, outcomes, queue, queue_some, sending, until, use
from tests.servers.fake_mta import Act, FakeMta, Script

pytestmark = pytest.mark.anyio

LONG_BODY = "<p>" + "0123456789 " * 40_000 + "</p>"
SLOW = 1.0


def at(step: str, act: Callable[[], None], *, times: int = 1) -> Callable[[str, str], None]:
    """Return a listener that acts the first few times that the server comes to a step."""
    seen = 0

    def on_event(name: str, detail: str) -> None:
        nonlocal seen
        if name == step:
            seen += 1
            if seen <= times:
                act()

    return on_event


PHASES = ("connect", "ehlo", "mail", "rcpt", "data", "dot")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("phase", PHASES)
async def test_f19_stopped_in_each_phase(host: Runtime, phase: str, number: signal.Signals) -> None:
    """What is on its way comes to its end, the rest is given back at once, and nothing is left as claimed or sending.

    A signal sets the stop of the engine; the real signals are those of the next test.
    """
    async with FakeMta(Script(steps={phase: Act(delay_s=0.2)})) as mta:
        await use(mta)
        await queue_some(LANES * 3)
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        loop.add_signal_handler(number, stop.set)
        mta.on_event = at(phase, lambda: signal.raise_signal(number))
        started_at = monotonic()
        async with Engine() as worker:
            await asyncio.wait_for(worker.run(stop), 10)
        loop.remove_signal_handler(number)
        assert monotonic() - started_at < 5
        assert await all_are("queued", "sent")
        mta.on_event = None
        mta.script = Script()
        await finish(1)
        await require(mta.ledger)


async def test_f19_a_real_worker_ends_with_0(host: Runtime, workers: MakeWorkers) -> None:
    async with FakeMta(Script(steps={"dot": Act(delay_s=0.3)})) as mta:
        crew = workers(mta)
        await queue_some(LANES * 4)
        for number in (signal.SIGTERM, signal.SIGINT):
            worker = crew.start()
            dots = len(mta.ledger)
            await until(lambda dots=dots: len(mta.ledger) > dots, "a mail on its way", 40)
            worker.process.send_signal(number)
            assert await ended(worker) == 0, worker.output
            assert await all_are("queued", "sent")
        await use(mta)
        mta.script = Script()
        await finish(1)
        await require(mta.ledger)


async def test_f19_a_queue_that_is_flushed_by_hand_is_stopped(host: Runtime, workers: MakeWorkers) -> None:
    """`postroom queue flush` lets what is on its way end, gives the rest back, and ends as Ctrl+C ends others."""
    async with FakeMta(Script(steps={"dot": Act(delay_s=0.5)})) as mta:
        crew = workers(mta)
        await queue_some(LANES * 4)
        for number in (signal.SIGTERM, signal.SIGINT):
            flush = crew.start("queue", "flush")
            dots = len(mta.ledger)
            await until(lambda dots=dots: len(mta.ledger) > dots, "a mail on its way", 40)
            flush.process.send_signal(number)
            assert await ended(flush) == 128 + number, flush.output
            assert "Traceback" not in flush.output
            assert await all_are("queued", "sent")
            assert "unknown" not in await outcomes()
        await use(mta)
        mta.script = Script()
        await finish(1)
        await require(mta.ledger)


async def test_f19_the_grace_has_an_end(host: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that never answers does not keep a stopped worker: what it may have taken is in doubt, and said so."""
    monkeypatch.setattr(engine, "_GRACE_S", 0.3)
    async with FakeMta(Script(steps={"dot": Act(silent=True)})) as mta:
        await use(mta)
        await queue_some(LANES * 2)
        async with sending():
            await until(lambda: len(mta.ledger) == LANES, "the mails in flight")
        assert await all_are("queued")
        assert await outcomes() == ["unknown"] * LANES
        mta.script = Script()
        await finish(1)
        await require(mta.ledger, repeats=LANES)


async def test_f21_the_job_that_flushes_puts_no_more_in_flight_beside_a_worker(host: Runtime) -> None:
    """What one kill can repeat is SMTP_CONCURRENCY, whatever else runs in the process."""
    gate = asyncio.Event()
    async with FakeMta(Script(steps={"dot": Act(after=gate)})) as mta:
        await use(mta)
        await queue_some(LANES * 4)
        async with sending():
            await until(lambda: len(mta.ledger) == LANES, "the mails in flight")
            await asyncio.wait_for(get_model("Message").cron_flush(), 5)
            assert len(mta.ledger) == LANES
            gate.set()
            await until(lambda: all_are("sent"), "the rest")
        await require(mta.ledger)


@pytest.mark.parametrize("point", ["claim", "connect", "rcpt", "block"])
async def test_f20_killed_before_the_dot(host: Runtime, workers: MakeWorkers, point: str) -> None:
    """Nothing was sent, so nothing is repeated; what was only claimed costs no retry."""
    steps = {"block": Act(drop=True)} if point == "block" else {}
    async with FakeMta(Script(steps=steps)) as mta:
        await queue_some(LANES * 3, body=LONG_BODY if point == "block" else "<p>Hello</p>")
        crew = workers(mta)
        if point == "claim":
            async with locked(host):
                worker = await crew.started()
                await asyncio.sleep(0.2)
                kill(worker)
                await ended(worker)
            assert await all_are("queued")
        else:
            worker = crew.start()
            mta.on_event = at(point, lambda: kill(worker))
            await ended(worker)
        mta.on_event = None
        mta.script = Script()
        assert not mta.ledger
        left = await get_model("Delivery").filter(state="sending").count()
        assert left <= (LANES if point == "block" else 0)
        await use(mta)
        if point == "connect":
            await _rescued(left)
        await finish(2)
        assert (await outcomes()).count("unknown") == left
        await require(mta.ledger)


@pytest.mark.parametrize("point", ["after the dot", "after 250"])
async def test_f21_killed_in_doubt(host: Runtime, workers: MakeWorkers, point: str) -> None:
    """The server took up to one mail a lane, and no commit says so: unknown, and then the policy."""
    async with FakeMta(Script(), keeps_raw=False) as mta:
        await queue_some(LANES * 6)
        crew = workers(mta)
        worker = crew.start()
        async with AsyncExitStack() as stack:
            if point == "after the dot":
                mta.on_event = at("accepted", lambda: kill(worker))
            else:
                # The answer is read, and its commit waits for a lock that somebody else has.
                mta.script = Script(steps={"dot": Act(delay_s=SLOW)})
                await until(lambda: mta.ledger, "a mail on its way", 40)
                await stack.enter_async_context(locked(host))
                answered = asyncio.Event()
                mta.on_event = at("answered", answered.set)
                await answered.wait()
                await asyncio.sleep(0.05)
                kill(worker)
            await ended(worker)
        mta.on_event = None
        mta.script = Script()
        left = await get_model("Delivery").filter(state="sending").count()
        assert 1 <= left <= LANES
        await use(mta)
        if point == "after the dot":
            await _rescued(left)
        await finish(2)
        assert (await outcomes()).count("unknown") == left
        await require(mta.ledger, repeats=LANES)


async def test_f21_money_documents_wait_for_a_person(host: Runtime, workers: MakeWorkers) -> None:
    async with FakeMta(Script()) as mta:
        message = await queue()
        message.on_unknown = "hold"
        await message.save(update_fields=["on_unknown"])
        worker = workers(mta).start()
        mta.on_event = at("accepted", lambda: kill(worker))
        await ended(worker)
        mta.on_event = None
        await use(mta)
        await finish(2)
        await require(mta.ledger, states={"unknown": 1})
        await message.refresh_from_db()
        assert message.send_state == "Unknown"


async def test_f22_killed_after_the_commit(host: Runtime, workers: MakeWorkers) -> None:
    async with FakeMta(Script()) as mta:
        await queue_some(LANES * 3)
        worker = workers(mta).start()
        await until(lambda: len(mta.ledger) == LANES * 3, "all mails", 40)
        await until(lambda: all_are("sent"), "their commit")
        kill(worker)
        await ended(worker)
        await use(mta)
        await finish(2)
        await require(mta.ledger)


async def test_f24_frozen_and_thawed(host: Runtime, workers: MakeWorkers) -> None:
    """SIGSTOP with the dot on the wire. Another worker finds it in doubt; thawed, the first one hears 250 after all.

    Its late success is recorded and ends the wait for a retry, and of its claim it sends nothing more.
    """
    async with FakeMta(Script(steps={"dot": (*[Act(delay_s=SLOW)] * LANES, None)})) as mta:
        await queue_some(LANES * 5)
        frozen = workers(mta).start()
        await _frozen_on_the_way(host, mta, frozen)
        await asyncio.sleep(LEASE_S + SLOW)
        await use(mta)
        async with sending():
            await until(lambda: get_model("Attempt").exists(outcome="unknown"), "the sweep", 15)
            await until(lambda: all_are("sent", "queued"), "the rest, by another worker")
            frozen.process.send_signal(signal.SIGCONT)
            await until(lambda: all_are("sent"), "the late success")
        frozen.process.send_signal(signal.SIGTERM)
        assert await ended(frozen) == 0
        await require(mta.ledger, repeats=1)


async def test_f24_thawed_after_the_retry(host: Runtime, workers: MakeWorkers) -> None:
    """The retry began before the thaw: one repeat, and the late result changes nothing."""
    async with FakeMta(Script(steps={"dot": (Act(delay_s=SLOW), None)})) as mta:
        await queue()
        frozen = workers(mta).start()
        await _frozen_on_the_way(host, mta, frozen)
        await asyncio.sleep(SLOW)
        await use(mta)
        await finish(2)
        assert await all_are("sent")
        frozen.process.send_signal(signal.SIGCONT)
        await asyncio.sleep(0.3)
        frozen.process.send_signal(signal.SIGTERM)
        assert await ended(frozen) == 0
        await require(mta.ledger, repeats=1)


async def _frozen_on_the_way(host: Runtime, mta: FakeMta, worker: Running) -> None:
    """Stop a worker that waits for an answer to its dot, and at no time in a write: nobody else could write then."""
    await until(lambda: mta.ledger, "a mail on its way", 40)
    async with locked(host):
        worker.process.send_signal(signal.SIGSTOP)


@pytest.mark.parametrize(("engines", "mails"), [(2, 1), (8, 1), (32, 1), (2, 200), (8, 1000), (32, 200)])
async def test_f25_many_workers_at_once(host: Runtime, engines: int, mails: int) -> None:
    """Engines that begin at the same moment on the same rows: each row once."""
    await queue_some(mails, subject="Once")
    async with FakeMta() as mta, asyncio.timeout(60):
        await use(mta)
        await asyncio.gather(*(drain(60) for _ in range(engines)))
        await require(mta.ledger)


async def test_f25_processes(host: Runtime, workers: MakeWorkers) -> None:
    """Real processes, let loose at once by the end of a lock."""
    async with FakeMta() as mta:
        crew = workers(mta)
        async with locked(host):
            for _ in range(4):
                crew.start()
            for worker in crew.all:
                await until(lambda worker=worker: "Worker started" in worker.output, "a started worker", 60)
        await queue_some(400)
        await until(lambda: all_are("sent"), "all mails", 40)
        for worker in crew.all:
            worker.process.send_signal(signal.SIGTERM)
        assert [await ended(worker) for worker in crew.all] == [0] * 4
        senders = set(await get_model("Attempt").all().values_list("worker", flat=True))
        assert len(senders) > 1
        await require(mta.ledger)


async def _rescued(begun: int) -> None:
    """Another worker gives back what the dead one had, without anyone's help: within lease, heartbeat and sweep."""
    started_at = monotonic()
    async with sending():
        await until(lambda: all_are("sent", "queued"), "the rescue", 15)
        if begun:
            await until(lambda: get_model("Attempt").exists(outcome="unknown"), "the doubt", 15)
    assert monotonic() - started_at < LEASE_S + engine._SWEEP_EVERY_S + 3
