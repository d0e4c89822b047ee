"""Running one claimed job: call its method, keep the lease, record how it ended.

A run ends in one of five ways (`core.cron.verdict.Outcome`), and whichever it is, it is written: a method that raises,
hangs or is interrupted never leaves its row `running` while this process lives.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from core.cron.lease import Claim, claim_due, claim_now, extend, settle
from core.cron.method import is_cron_method
from core.cron.verdict import Ended, Outcome
from core.errors import UserError, did_you_mean
from core.orm.outage import database_errors, is_outage
from core.orm.transaction import refuse_inside
from core.runtime import acting_as, get_model, settings, this_worker
from core.tracing import span

log = structlog.get_logger(__name__)

_BEATS_PER_LEASE = 6
_CANCEL_AGAIN_S = 1.0
_ERROR_LENGTH = 500
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Progress:
    """What a cron method may return: how many items it worked on, and whether more are waiting.

    With `more` it is called again as soon as every other due job has had its turn; each call is a CronRun of its own.
    A call that worked on nothing is not repeated, since it would only spin.
    """

    items: int = 0
    more: bool = False


def marked_method(model: str, method: str) -> Callable[[], Awaitable[Any]]:
    """Return the method that a job names; UnknownName or UserError where it is none that cron may call."""
    owner = get_model(model)
    if not is_cron_method(owner, method):
        marked = [name for name in dir(owner) if is_cron_method(owner, name)]
        raise UserError(
            f"cron may not call {model}.{method}: it is no method marked with @cron_method."
            f"{did_you_mean(method, marked)}"
        )
    called: Callable[[], Awaitable[Any]] = getattr(owner, method)
    return called


async def run_due(worker: str, limit: int | None = None) -> int:
    """Run what is due, one after the other, until nothing is (or `limit` runs are done); return how many ran."""
    count = 0
    while limit is None or count < limit:
        claim = await claim_due(worker)
        if claim is None:
            break
        await perform(claim)
        count += 1
    return count


async def run_now(job: Any, worker: str | None = None) -> Any:
    """Run a job because a person asks, active or not, and return its CronRun; the schedule stays as it is.

    One call, also where the method says that more remains. Raises UserError where the job is running or names no marked
    method, RuntimeError inside a transaction.
    """
    refuse_inside("Running a cron job")
    marked_method(job.model, job.method)
    claim = await claim_now(job.id, worker or this_worker())
    if claim is None:
        raise UserError(await _why_refused(job))
    return await perform(claim)


async def perform(claim: Claim) -> Any:
    """Run a claimed job to its end and return its CronRun as stored; when cancelled, stop the method and write that."""
    try:
        ended = await _watched_call(claim)
    except asyncio.CancelledError:
        await _to_the_end(_record(claim, Ended(Outcome.STOPPED, error="The worker was told to stop.")))
        raise
    await _to_the_end(_record(claim, ended))
    return claim.run


async def _watched_call(claim: Claim) -> Ended:
    """Call the method while the lease holds and the time lasts.

    A method that goes on in spite of being cancelled keeps its lease: better a job that is stuck for all to see than
    two calls at once.
    """
    work = asyncio.create_task(_call(claim.job))
    lease = asyncio.create_task(_keep_lease(claim))
    try:
        await asyncio.wait({work, lease}, timeout=claim.job.timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return _result(work)
        if lease.done():
            return Ended(Outcome.LOST, error="The lease ran out while the method ran; it was stopped.")
        return Ended(Outcome.TIMEOUT, error=f"Stopped after {claim.job.timeout_s} s, its limit (timeout_s).")
    finally:
        await _cancel(work)
        await _cancel(lease)


async def _call(job: Any) -> Ended:
    try:
        with acting_as(None), span("cron.run", job=job.identifier):
            progress = _progress(await marked_method(job.model, job.method)())
    except Exception as error:  # The edge of one cron job: whatever its method raises is that job's failure.
        log.exception("cron job failed", job=job.identifier)
        return Ended(Outcome.FAILED, error=_in_short(error))
    return Ended(Outcome.DONE, items=progress.items, more=progress.more and progress.items > 0)


def _progress(returned: object) -> Progress:
    if isinstance(returned, Progress):
        return returned
    if returned is None or isinstance(returned, int):
        return Progress(items=int(returned or 0))
    raise TypeError(f"a cron method returns None, a number of items or Progress, not {type(returned).__name__}")


def _result(work: asyncio.Task[Ended]) -> Ended:
    return Ended(Outcome.FAILED, error="The method was cancelled from inside.") if work.cancelled() else work.result()


async def _keep_lease(claim: Claim) -> None:
    """Extend the lease from time to time; return once it is lost, or no beat got through for as long as it lasts."""
    loop = asyncio.get_running_loop()
    lease_s = settings().LEASE_SECONDS
    held_until = claim.held_until
    while loop.time() < held_until:
        await asyncio.sleep(lease_s / _BEATS_PER_LEASE)
        asked_at = loop.time()
        try:
            async with asyncio.timeout_at(held_until):
                if not await extend(claim):
                    break
        except database_errors() as error:
            if not is_outage(error):
                raise
            log.warning("cron lease not extended", job=claim.job.identifier, error=_in_short(error))
        else:
            held_until = asked_at + lease_s
    log.warning("cron lease lost; the method is stopped", job=claim.job.identifier)


async def _record(claim: Claim, ended: Ended) -> None:
    """Write the end of the run, however long the database is away: the work is done and must not be done again."""
    while True:
        try:
            if not await settle(claim, ended):
                log.warning("cron result ignored: the lease was lost", job=claim.job.identifier, outcome=ended.outcome)
                claim.run.outcome = Outcome.LOST.value
            return
        except database_errors() as error:
            if not is_outage(error):
                raise
            log.warning("cron result not written yet", job=claim.job.identifier, error=_in_short(error))
            await asyncio.sleep(random.uniform(0.2, 0.5))  # noqa: S311 - jitter


async def _cancel(task: asyncio.Task[Any]) -> None:
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_CANCEL_AGAIN_S)


async def _to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Await `work` to its end also when cancelled meanwhile; the cancellation follows after it."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


async def _why_refused(job: Any) -> str:
    run = await get_model("CronRun").filter(job_id=job.id, outcome="running").first()
    if run is None:
        return f"{job.name} was running until just now, or is gone; look at its history and try again"
    return (
        f"{job.name} has been running since {run.started_at:%Y-%m-%d %H:%M:%S} UTC on {run.worker}; "
        "wait until it has ended"
    )


def _in_short(error: BaseException) -> str:
    """Name the error in one text that any database stores: no NUL, no lone surrogates, no traceback."""
    text = f"{type(error).__name__}: {error}".replace("\0", "")
    return text.encode("utf-8", "replace").decode()[:_ERROR_LENGTH]
