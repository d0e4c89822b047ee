"""Claims of due jobs: taken by one statement, kept by a heartbeat, given back with the result.

Of any number of schedulers one wins a job, since the claim is a compare-and-set that skips what others hold. The token
fences the result: whoever lost the lease changes nothing any more. All times are the database's, so that workers whose
clocks differ agree. Only this file writes a job's `status`, `next_run`, `last_run`, failures and lease.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

import structlog

from core.cron.schedule import Schedule, next_after
from core.cron.verdict import Ended, Health, Outcome
from core.errors import PostroomError
from core.events import announce, tell
from core.orm.feed import Change
from core.orm.transaction import transaction
from core.runtime import get_model, runtime, settings

log = structlog.get_logger(__name__)

_NO_ANSWER = "The worker stopped answering; nobody knows how far the method came."


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that is this worker's to run: the CronJob as claimed, the CronRun that says so, and the fencing token."""

    job: Any
    run: Any
    token: str
    held_until: float
    """Until when the lease holds at least, by the event loop's monotonic clock."""


async def claim_due(worker: str) -> Claim | None:
    """Claim the job whose turn it is, or return None where nothing is due.

    Those that have not had their turn come first, by priority and due time; those that had it and are due still (more
    work, or a lost worker) take turns behind them.
    """
    dialect = runtime().database.dialect
    async with transaction():
        await _bury_lost()
        await _schedule_new()
        return await _take(
            worker,
            f"SELECT id FROM cron_job WHERE active AND lease_token IS NULL AND next_run <= {dialect.now()} "
            "ORDER BY CASE WHEN last_run >= next_run THEN last_run END NULLS FIRST, priority, next_run, id "
            f"LIMIT 1 {dialect.skip_locked}",
            is_due=True,
        )


async def claim_now(job_id: int, worker: str) -> Claim | None:
    """Claim one job, due or not and active or not; None where it is running."""
    async with transaction():
        await _bury_lost()
        return await _take(worker, runtime().database.dialect.param(3), [job_id], is_due=False)


async def make_due(identifier: str) -> bool:
    """Make a job due at once, for whichever scheduler is there; False where it is switched off or not there."""
    database = runtime().database
    dialect = database.dialect
    touched = await database.execute(
        f"UPDATE cron_job SET next_run = {dialect.now()} WHERE identifier = {dialect.param(1)} AND active",
        [identifier],
    )
    return touched == 1


async def extend(claim: Claim) -> bool:
    """Hold the claim for another LEASE_SECONDS; False where it is lost. A lease that ran out is never revived."""
    database = runtime().database
    dialect = database.dialect
    touched = await database.execute(
        f"UPDATE cron_job SET lease_until = {dialect.after(dialect.param(1))} WHERE id = {dialect.param(2)} "
        f"AND lease_token = {dialect.param(3)} AND lease_until >= {dialect.now()}",
        [float(settings().LEASE_SECONDS), claim.job.id, claim.token],
    )
    return touched == 1


async def settle(claim: Claim, ended: Ended) -> bool:
    """Write how the run ended and when the job is due next, and tell `cron_finished`; False where the lease is lost."""
    jobs = get_model("CronJob")
    async with transaction():
        job = await jobs.select_for_update().get_or_none(id=claim.job.id)
        if job is None:
            return False
        at = await _database_now()
        health = Health(job.failure_count, job.failing_since).after(ended.outcome, at)
        is_off = health.is_hopeless(at)
        values = {
            "status": "off" if is_off else "idle",
            "active": job.active and not is_off,
            "next_run": _next_run(job, claim.run, ended, health, at),
            "failure_count": health.failure_count,
            "failing_since": health.failing_since,
            "lease_token": None,
            "lease_until": None,
        }
        if not await jobs.filter(id=job.id, lease_token=claim.token).update(**values):
            return False
        job.update_from_dict(values)
        run = claim.run.update_from_dict(
            {"ended_at": at, "outcome": ended.outcome.value, "items": ended.items, "error": ended.error}
        )
        await run.save(update_fields=["ended_at", "outcome", "items", "error"])
        if is_off:
            log.warning("cron job switched off", job=job.identifier, failures=health.failure_count, error=ended.error)
        await tell("cron_finished", job=job, run=run)
        await announce(Change("cron", (job.status, ended.outcome.value), (job.id,)))
    return True


async def seconds_until_due(most_s: float) -> float:
    """Return how long no job will come due and no lease run out, at most `most_s`."""
    database = runtime().database
    dialect = database.dialect
    [row] = await database.fetch(
        f"SELECT min(coalesce(lease_until, next_run)) AS due, {dialect.now()} AS now FROM cron_job "
        "WHERE active OR lease_token IS NOT NULL"
    )
    due, now = dialect.read_time(row["due"]), dialect.read_time(row["now"])
    if due is None or now is None:
        return most_s
    return min(max((due - now).total_seconds(), 0.0), most_s)


def schedule_of(job: Any, seen_at: datetime) -> Schedule:
    """Return a CronJob's schedule, one without an anchor from the minute of `seen_at`; UserError where it is none."""
    return Schedule(
        frequency=job.frequency,
        unit=job.frequency_unit,
        anchor_at=job.anchor_at or start_of_minute(seen_at),
        cron=job.cron,
        timezone=job.timezone or settings().DEFAULT_TIMEZONE,
    )


def start_of_minute(at: datetime) -> datetime:
    """Return what the schedule of a job that is first seen at `at` is counted from."""
    return at.replace(second=0, microsecond=0)


async def _take(worker: str, which: str, params: Sequence[Any] = (), *, is_due: bool) -> Claim | None:
    """Claim the job that the expression `which` names; one that was switched off forgets its failures."""
    database = runtime().database
    dialect = database.dialect
    token, lease_s = uuid4().hex, float(settings().LEASE_SECONDS)
    held_until = asyncio.get_running_loop().time() + lease_s
    rows = await database.fetch(
        f"UPDATE cron_job SET status = 'running', last_run = {dialect.now()}, lease_token = {dialect.param(1)}, "
        f"lease_until = {dialect.after(dialect.param(2))}, "
        "failure_count = CASE WHEN status = 'off' THEN 0 ELSE failure_count END, "
        "failing_since = CASE WHEN status = 'off' THEN NULL ELSE failing_since END "
        f"WHERE lease_token IS NULL AND id = ({which}) RETURNING id",
        [token, lease_s, *params],
    )
    if not rows:
        return None
    job = await get_model("CronJob").get(id=rows[0]["id"])
    run = await get_model("CronRun").create(
        job=job, due_at=job.next_run if is_due else None, started_at=job.last_run, worker=worker
    )
    await announce(Change("cron", ("running",), (job.id,)))
    return Claim(job, run, token, held_until)


async def _bury_lost() -> None:
    """Close the runs whose worker let the lease run out; their jobs can be claimed again at once."""
    database = runtime().database
    dialect = database.dialect
    # Locked, so that a job which another worker is burying, and may claim anew, is not taken for the lost one.
    lost = await database.fetch(
        f"SELECT id FROM cron_job WHERE lease_until < {dialect.now()} ORDER BY id {dialect.skip_locked}"
    )
    for row in lost:
        job = await get_model("CronJob").get(id=row["id"])
        run, _ = await get_model("CronRun").get_or_create(
            job=job, outcome="running", defaults={"started_at": job.last_run, "worker": "unknown"}
        )
        await settle(Claim(job, run, job.lease_token, held_until=0), Ended(Outcome.LOST, error=_NO_ANSWER))


async def _schedule_new() -> None:
    """Give jobs that were never seen, or whose schedule was changed, their next due time."""
    jobs = get_model("CronJob")
    for job in await jobs.filter(active=True, next_run__isnull=True, lease_token__isnull=True).order_by("id"):
        at = await _database_now()
        job.anchor_at = job.anchor_at or start_of_minute(at)
        job.next_run = _next_due(job, at)
        values = {"anchor_at": job.anchor_at, "next_run": job.next_run}
        if job.next_run is None:
            values |= {"active": False, "status": "off"}
        await jobs.filter(id=job.id, next_run__isnull=True, lease_token__isnull=True).update(**values)


def _next_run(job: Any, run: Any, ended: Ended, health: Health, at: datetime) -> datetime | None:
    """A run that a person asked for moves nothing; a due one leads to the next instant after its start, or a retry."""
    if run.due_at is None or ended.leaves_job_due:
        unmoved: datetime | None = job.next_run
        return unmoved
    if ended.outcome is Outcome.DONE:
        return _next_due(job, run.started_at)
    return at + health.retry_wait()


def _next_due(job: Any, after: datetime) -> datetime | None:
    try:
        return next_after(schedule_of(job, after), after)
    except PostroomError as error:
        log.warning("cron job switched off: its schedule has no next time", job=job.identifier, error=str(error))
        return None


async def _database_now() -> datetime:
    database = runtime().database
    [row] = await database.fetch(f"SELECT {database.dialect.now()} AS now")
    at = database.dialect.read_time(row["now"])
    assert at is not None
    return at
