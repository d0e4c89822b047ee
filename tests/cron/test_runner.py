from __future__ import annotations

import asyncio
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from core.clock import clock_at
from core.cron.lease import claim_due, claim_now, extend, settle
from core.cron.runner import perform, run_due, run_now
from core.cron.verdict import Ended, Outcome
from core.errors import UnknownName, UserError
from core.orm.transaction import transaction
from core.runtime import acting_as, get_model
from tests.cron.probe import ago, calls, edit, events, make_job, runs_of, stored, until, worker_process

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("host")]


async def test_a_due_job_runs_once_and_is_next_due_by_its_anchor() -> None:
    job = await make_job(
        "half", frequency=30, frequency_unit="Minutes", anchor_at=datetime(2026, 1, 1, 0, 7, tzinfo=UTC)
    )
    assert await run_due("here") == 1
    after = await stored(job)
    assert after.next_run.minute in (7, 37)
    assert timedelta(0) < after.next_run - datetime.now(UTC) <= timedelta(minutes=30)
    assert (after.status, after.lease_token, after.lease_until, after.failure_count) == ("idle", None, None, 0)
    [run] = await runs_of(job)
    assert (run.due_at, run.outcome, run.worker, run.error) == (job.next_run, "done", "here", "")
    assert job.next_run < run.started_at <= run.ended_at
    assert await calls() == ["tick"]
    assert await events() == ["finished half done"]
    assert await run_due("here") == 0


async def test_a_job_first_seen_is_counted_from_that_minute() -> None:
    job = await make_job("new", due=False, anchor_at=None, frequency=1, frequency_unit="Hours")
    assert await run_due("here") == 0
    seen = await stored(job)
    assert seen.anchor_at.second == seen.anchor_at.microsecond == 0
    assert timedelta(0) <= datetime.now(UTC) - seen.anchor_at < timedelta(minutes=2)
    assert seen.next_run == seen.anchor_at + timedelta(hours=1)


async def test_a_missed_window_runs_once() -> None:
    job = await make_job("minutely", frequency_unit="Minutes", next_run=ago(hours=3))
    assert await run_due("here") == 1
    assert (await stored(job)).next_run > ago(seconds=0)


async def test_an_instant_that_passes_during_a_run_is_due_after_it() -> None:
    job = await make_job("slow", frequency_unit="Minutes")
    claim = await claim_due("here")
    assert claim is not None
    claim.run.started_at = ago(seconds=90)
    await settle(claim, Ended(Outcome.DONE))
    assert (await stored(job)).next_run <= ago(seconds=0)


async def test_inactive_jobs_wait() -> None:
    await make_job("archived", active=False)
    assert await run_due("here") == 0


async def test_items_are_recorded() -> None:
    job = await make_job("counted", "count")
    await run_due("here")
    assert [run.items for run in await runs_of(job)] == [7]


async def test_more_work_takes_turns() -> None:
    long = await make_job("long", "batch", priority=1)
    await make_job("first")
    await make_job("second")
    assert await run_due("here") == 5
    assert await calls() == ["batch", "tick", "tick", "batch", "batch"]
    assert [(run.items, run.due_at) for run in await runs_of(long)] == [(10, long.next_run)] * 3
    assert (await stored(long)).next_run > ago(seconds=0)


async def test_more_work_without_any_done_is_not_repeated() -> None:
    job = await make_job("spins", "spin")
    assert await run_due("here") == 1
    assert (await stored(job)).next_run > ago(seconds=0)


async def test_priority_comes_before_due_time() -> None:
    await make_job("late", "count", next_run=ago(hours=1))
    urgent = await make_job("urgent", priority=1, next_run=ago(seconds=1))
    claim = await claim_due("here")
    assert claim is not None
    assert claim.job.id == urgent.id


async def test_a_limit_of_runs() -> None:
    for number in range(3):
        await make_job(f"job{number}")
    assert await run_due("here", limit=2) == 2


async def test_a_failure_is_told_and_tried_again_later() -> None:
    job = await make_job("bad", "fail", frequency_unit="Months")
    assert await run_due("here") == 1
    [run] = await runs_of(job)
    assert (run.outcome, run.error) == ("failed", "ValueError: no  luck")
    after = await stored(job)
    assert (after.failure_count, after.failing_since, after.next_run) == (
        1,
        run.ended_at,
        run.ended_at + timedelta(minutes=2),
    )
    assert await events() == ["finished bad failed"]
    await edit(job, method="tick", next_run=ago(minutes=1))
    await run_due("here")
    healed = await stored(job)
    assert (healed.failure_count, healed.failing_since) == (0, None)


async def test_a_wrong_result_is_a_failure() -> None:
    job = await make_job("wrong", "wrong")
    await run_due("here")
    [run] = await runs_of(job)
    assert "returns None, a number of items or Progress, not str" in run.error


@pytest.mark.parametrize(
    ("failures", "days", "is_off"), [(3, 30, False), (4, 6.9, False), (4, 7.1, True), (100, 1, False)]
)
async def test_switched_off_after_five_failures_and_seven_days(failures: int, days: float, is_off: bool) -> None:
    job = await make_job("bad", "fail", failure_count=failures, failing_since=ago(days=days))
    await run_due("here")
    after = await stored(job)
    assert (after.active, after.status) == ((False, "off") if is_off else (True, "idle"))
    assert after.failure_count == failures + 1


async def test_switched_on_again_it_starts_with_a_clean_record() -> None:
    job = await make_job("bad", "fail", failure_count=9, failing_since=ago(days=9), status="off")
    await run_due("here")
    after = await stored(job)
    assert (after.active, after.failure_count) == (True, 1)


async def test_a_run_ends_at_its_limit() -> None:
    job = await make_job("hangs", "wait", timeout_s=1)
    await run_due("here")
    [run] = await runs_of(job)
    assert (run.outcome, run.error) == ("timeout", "Stopped after 1 s, its limit (timeout_s).")
    assert get_model("Probe").was_cancelled
    assert (await stored(job)).failure_count == 1


async def test_only_marked_methods() -> None:
    with pytest.raises(UserError, match=r"cron may not call Probe\.unmarked"):
        await make_job("refused", "unmarked")
    with pytest.raises(UserError, match=r'Probe\.tock.*"tick"'):
        await make_job("refused", "tock")
    with pytest.raises(UserError, match=r"Probe\.__init__"):
        await make_job("refused", "__init__")
    with pytest.raises(UnknownName, match="Probe"):
        await make_job("refused", model="Prob")
    job = await make_job("edited")
    await edit(job, method="unmarked")
    await run_due("here")
    [run] = await runs_of(job)
    assert run.outcome == "failed"
    assert "Probe.unmarked" in run.error
    with pytest.raises(UserError, match=r"Probe\.unmarked"):
        await run_now(await stored(job))
    assert await calls() == []


async def test_a_limit_of_no_time_is_refused() -> None:
    with pytest.raises(UserError, match="timeout_s"):
        await make_job("never", timeout_s=0)


async def test_run_now_leaves_the_schedule_alone() -> None:
    job = await make_job("later", due=False, next_run=ago(days=-1), active=False)
    run = await job.run_now("person")
    assert (run.due_at, run.outcome, run.worker) == (None, "done", "person")
    after = await stored(job)
    assert (after.next_run, after.active) == (job.next_run, False)
    await edit(job, method="fail")
    assert (await job.run_now()).outcome == "failed", "the stored row decides, not the copy in hand"


async def test_run_now_is_refused_inside_a_transaction() -> None:
    job = await make_job("inside")
    async with transaction():
        with pytest.raises(RuntimeError, match="inside a transaction"):
            await job.run_now()
    assert await runs_of(job) == []


async def test_run_now_is_refused_while_running() -> None:
    job = await make_job("busy", "wait")
    get_model("Probe").gate = gate = asyncio.Event()
    running = asyncio.create_task(run_due("first"))
    await until(lambda: _called("begun"))
    [run] = await runs_of(job)
    with pytest.raises(
        UserError, match=rf"Job busy has been running since {run.started_at:%Y-%m-%d %H:%M:%S} UTC on first"
    ):
        await job.run_now("second")
    gate.set()
    assert await running == 1
    assert await calls() == ["begun", "ended"]


async def test_cron_acts_as_the_system_whoever_asked() -> None:
    somebody = await get_model("User").create(login="somebody@acme.test", name="Somebody")
    with acting_as(somebody):
        await (await make_job("who", "whoami")).run_now()
    assert await calls() == ["None"]


async def test_a_lost_lease_fences_the_result() -> None:
    job = await make_job("fenced")
    old = await claim_due("old")
    assert old is not None
    assert await extend(old)
    assert await claim_due("new") is None
    await edit(job, lease_until=ago(seconds=1))
    assert not await extend(old)
    new = await claim_due("new")
    assert new is not None
    assert new.run.due_at == old.run.due_at == job.next_run
    assert not await settle(old, Ended(Outcome.DONE))
    await perform(new)
    lost, done = await runs_of(job)
    assert (lost.outcome, lost.worker, done.outcome, done.worker) == ("lost", "old", "done", "new")
    assert lost.ended_at is not None
    assert await events() == ["finished fenced lost", "finished fenced done"]


async def test_a_method_whose_lease_is_lost_is_stopped() -> None:
    job = await make_job("robbed", "wait")
    running = asyncio.create_task(run_due("old", limit=1))
    await until(lambda: _called("begun"))
    await edit(job, lease_until=ago(seconds=1))
    claim = await claim_now(job.id, "new")
    assert claim is not None
    assert await running == 1
    assert get_model("Probe").was_cancelled
    lost, taken = await runs_of(job)
    assert (lost.outcome, taken.outcome) == ("lost", "running")
    assert (await stored(job)).lease_token == claim.token


async def test_the_heartbeat_keeps_a_long_run() -> None:
    job = await make_job("long", "wait")
    get_model("Probe").gate = gate = asyncio.Event()
    running = asyncio.create_task(run_due("here"))
    await until(lambda: _called("begun"))
    before = (await stored(job)).lease_until

    async def extended() -> bool:
        return bool((await stored(job)).lease_until > before + timedelta(seconds=0.5))

    await until(extended)
    gate.set()
    await running
    assert [run.outcome for run in await runs_of(job)] == ["done"]


async def test_a_cancelled_run_is_written_and_stays_due() -> None:
    job = await make_job("stopped", "wait")
    running = asyncio.create_task(run_due("here"))
    await until(lambda: _called("begun"))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    after = await stored(job)
    assert (after.status, after.lease_token, after.next_run, after.failure_count) == ("idle", None, job.next_run, 0)
    assert [run.outcome for run in await runs_of(job)] == ["stopped"]


async def test_a_killed_worker_is_found_out_and_the_job_runs_again(addons: Path) -> None:
    job = await make_job("killed", "wait_once")
    async with worker_process("victim", addons) as victim:
        await until(lambda: _called("first"))
        victim.send_signal(signal.SIGKILL)
        await victim.wait()
    assert (await stored(job)).status == "running"

    async def rerun() -> bool:
        return await run_due("heir") == 1

    await until(rerun)
    assert [(run.outcome, run.worker) for run in await runs_of(job)] == [("lost", "victim"), ("done", "heir")]
    assert await calls() == ["first", "again"]


async def test_many_workers_find_one_lost_job_once() -> None:
    job = await make_job("lost")
    assert await claim_due("killed") is not None
    for round_number in range(1, 6):
        await edit(job, lease_until=ago(seconds=1))
        claims = await asyncio.gather(*(claim_due(f"worker{number}") for number in range(32)))
        assert sum(claim is not None for claim in claims) == 1
        assert [run.outcome for run in await runs_of(job)] == ["lost"] * round_number + ["running"]


async def test_a_job_that_is_deleted_while_it_runs() -> None:
    job = await make_job("deleted", "wait")
    get_model("Probe").gate = gate = asyncio.Event()
    running = asyncio.create_task(job.run_now())
    await until(lambda: _called("begun"))
    await (await stored(job)).delete()
    gate.set()
    assert (await running).outcome == "lost"


async def test_an_inactive_job_that_was_killed_is_freed_as_well() -> None:
    job = await make_job("archived", active=False)
    assert await claim_now(job.id, "killed") is not None
    await edit(job, lease_until=ago(seconds=1))
    await run_due("here")
    assert (await stored(job)).status == "idle"
    assert [run.outcome for run in await runs_of(job)] == ["lost"]


async def test_a_stale_copy_does_not_undo_a_claim() -> None:
    job = await make_job("edited")
    claim = await claim_due("here")
    assert claim is not None
    job.name = "Renamed"
    await job.save()
    during = await stored(job)
    assert (during.name, during.status, during.lease_token) == ("Renamed", "running", claim.token)
    await perform(claim)
    await job.save()
    assert await claim_due("here") is None


async def test_a_changed_schedule_starts_anew() -> None:
    job = await make_job("changed", due=False, next_run=ago(days=-20), frequency_unit="Months")
    job.frequency_unit = "Minutes"
    await job.save()
    await run_due("here")
    assert (await stored(job)).next_run <= ago(minutes=-1)


async def test_a_schedule_without_a_next_time_switches_only_its_job_off() -> None:
    broken = await make_job("broken", due=False)
    await edit(broken, cron="bad", next_run=None)
    await make_job("fine")
    assert await run_due("here") == 1
    after = await stored(broken)
    assert (after.active, after.status) == (False, "off")


async def test_daily_jobs_keep_their_hour_when_the_clocks_change() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    anchor_at = datetime(2026, 3, 1, 9, 0, tzinfo=berlin)
    job = await make_job("daily", frequency_unit="Days", timezone="Europe/Berlin", anchor_at=anchor_at)
    with clock_at(datetime(2026, 3, 27, 12, 0, tzinfo=UTC)):
        instants = job.next_runs(3)
    assert [at.hour for at in instants] == [8, 7, 7]
    assert all(at.tzinfo is UTC and at.astimezone(berlin).hour == 9 for at in instants)
    await run_due("here")
    assert (await stored(job)).next_run.astimezone(berlin).hour == 9
    assert job.schedule_in_words()


async def test_old_runs_are_pruned() -> None:
    job = await make_job("old")
    await run_due("here")
    await get_model("CronRun").filter(job_id=job.id).update(ended_at=ago(days=31))
    await job.run_now()
    assert await get_model("CronRun").cron_prune() == 1
    assert len(await runs_of(job)) == 1


async def _called(name: str) -> bool:
    return name in await calls()
