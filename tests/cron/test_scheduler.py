from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from core.config import load_configuration
from core.cron.scheduler import scheduler
from core.host.host import open_host
from core.runtime import Runtime, get_model
from tests.cron.probe import ago, calls, make_job, runs_of, stored, until, worker_process
from tests.servers.postgres import Postgres

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def running_scheduler(name: str = "here", slots: int = 4, grace_s: float = 5) -> AsyncIterator[asyncio.Event]:
    """Within the block a scheduler runs; after it, it was told to stop and has ended."""
    stop = asyncio.Event()
    task = asyncio.create_task(scheduler(name, stop, slots=slots, grace_s=grace_s))
    try:
        yield stop
    finally:
        stop.set()
        await asyncio.wait_for(task, 20)


async def test_it_runs_what_is_due_and_what_comes_due(host: Runtime) -> None:
    await make_job("due")
    await make_job("soon", next_run=ago(seconds=-0.3))
    async with running_scheduler():
        await until(lambda: _count("tick", 2))


async def test_a_new_job_wakes_it(host: Runtime) -> None:
    async with running_scheduler():
        await make_job("new")
        await until(lambda: _count("tick", 1))


async def test_slow_jobs_starve_no_other(host: Runtime) -> None:
    gate = get_model("Probe").gate = asyncio.Event()
    for number in range(3):
        await make_job(f"slow{number}", "wait", priority=1)
    for number in range(5):
        await make_job(f"quick{number}")
    async with running_scheduler():
        await until(lambda: _count("tick", 5))
        assert (await calls()).count("ended") == 0
        gate.set()
    assert (await calls()).count("ended") == 3


async def test_no_more_at_a_time_than_there_are_slots(host: Runtime) -> None:
    get_model("Probe").gate = asyncio.Event()
    for number in range(3):
        await make_job(f"slow{number}", "wait")
    async with running_scheduler(slots=2, grace_s=0.01):
        await until(lambda: _count("begun", 2))
        await asyncio.sleep(0.05)
        assert (await calls()) == ["begun", "begun"]


async def test_told_to_stop_it_lets_runs_end(host: Runtime) -> None:
    gate = get_model("Probe").gate = asyncio.Event()
    job = await make_job("slow", "wait")
    async with running_scheduler() as stop:
        await until(lambda: _count("begun", 1))
        await asyncio.sleep(0.05)  # Till it rests: a claim that is under way when it is told to stop still counts.
        stop.set()
        await make_job("too late")
        gate.set()
    assert [run.outcome for run in await runs_of(job)] == ["done"]
    assert "tick" not in await calls()


async def test_after_the_grace_runs_are_cancelled_and_stay_due(host: Runtime) -> None:
    job = await make_job("slow", "wait")
    async with running_scheduler(grace_s=0.01):
        await until(lambda: _count("begun", 1))
    after = await stored(job)
    assert (after.status, after.lease_token, after.next_run) == ("idle", None, job.next_run)
    assert [run.outcome for run in await runs_of(job)] == ["stopped"]


async def test_a_cancelled_one_leaves_nothing_running(host: Runtime) -> None:
    job = await make_job("slow", "wait")
    task = asyncio.create_task(scheduler("here", asyncio.Event()))
    await until(lambda: _count("begun", 1))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [run.outcome for run in await runs_of(job)] == ["stopped"]


async def test_two_processes_run_each_due_job_once(host: Runtime, addons: Path) -> None:
    jobs = [await make_job(f"job{number}", frequency_unit="Years") for number in range(60)]
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(worker_process(name, addons)) for name in ("one", "two")]
        await until(lambda: _count("tick", 60))
        for worker in workers:
            worker.send_signal(signal.SIGTERM)
        ends = {await worker.wait() for worker in workers}
        # One that found nothing left to do may be stopped before it listens to signals.
        assert 0 in ends
        assert ends <= {0, -signal.SIGTERM}
    runs = await get_model("CronRun").all()
    assert Counter(run.job_id for run in runs) == dict.fromkeys((job.id for job in jobs), 1)
    assert {run.outcome for run in runs} == {"done"}
    assert (await calls()).count("tick") == 60


async def test_it_outlasts_a_database_that_goes_away(settings: dict[str, object], tmp_path: Path) -> None:
    with Postgres() as server:
        overrides = {**settings, "DATABASE_URL": server.create_database(), "VAR_DIR": str(tmp_path / "var")}
        async with open_host(load_configuration(environment={}, overrides=overrides)):
            from tortoise.context import get_current_context

            context = get_current_context()
            assert context is not None
            await context.generate_schemas()
            gate = get_model("Probe").gate = asyncio.Event()
            job = await make_job("across", "wait")
            with capture_logs() as logs:
                async with running_scheduler():
                    await until(lambda: _count("begun", 1))
                    server.stop_immediately()
                    await until(lambda: _away(logs))
                    gate.set()
                    await asyncio.sleep(0.05)
                    await asyncio.to_thread(server.start)
                    await make_job("after")
                    await until(lambda: _count("tick", 1))
            assert sum("cron: the database is away" in str(entry["event"]) for entry in logs) == 1
            assert (await stored(job)).status == "idle"
            assert all(run.outcome != "running" for run in await runs_of(job))


async def _away(logs: list[object]) -> bool:
    return any("cron: the database is away" in str(entry) for entry in logs)


async def _count(name: str, count: int) -> bool:
    return (await calls()).count(name) >= count
