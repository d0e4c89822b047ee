"""The loop that claims due jobs and runs several at a time.

Any number of processes may run it on one database. It wakes when the next job is due, when a bell rings, when a run
ends, and every CRON_POLL_SECONDS anyway; while the database is away it keeps asking.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import Any

import structlog

from core.cron.lease import Claim, claim_due, seconds_until_due
from core.cron.runner import perform
from core.orm.outage import database_errors, is_outage
from core.runtime import runtime, settings

log = structlog.get_logger(__name__)

SLOTS = 4
GRACE_S = 20.0
_CANCELLED_WITHIN_S = 5.0
_LEAST_PAUSE_S = 0.05
"""What another worker is claiming just now still looks due: do not ask for it without a breath."""


async def scheduler(worker: str, stop: asyncio.Event, *, slots: int = SLOTS, grace_s: float = GRACE_S) -> None:
    """Run due jobs, `slots` at a time, until `stop` is set.

    Then nothing more is claimed, and what runs has `grace_s` to end; what does not is cancelled and stays due. A
    cancelled scheduler gives no grace.
    """
    wake = asyncio.Event()
    runs = _Runs(slots, wake)
    watchers = [asyncio.create_task(_wake_by_bell(wake)), asyncio.create_task(_wake_by_stop(stop, wake))]
    is_away = False
    try:
        while not stop.is_set():
            wake.clear()
            try:
                pause_s = await _start_next(worker, runs)
                is_away = False
            except database_errors() as error:
                if not is_outage(error):
                    log.error("cron: what is due cannot be read", exc_info=error)
                elif not is_away:
                    log.warning("cron: the database is away; asking on", error=str(error))
                is_away = True
                pause_s = random.uniform(0.3, 1.5)  # noqa: S311 - jitter
            await _pause(wake, pause_s)
    finally:
        await runs.wind_down(grace_s if stop.is_set() else 0)
        for watcher in watchers:
            watcher.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)


class _Runs:
    """What this process runs at the moment."""

    def __init__(self, slots: int, wake: asyncio.Event):
        self._slots = slots
        self._wake = wake
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def has_room(self) -> bool:
        return len(self._tasks) < self._slots

    def start(self, claim: Claim) -> None:
        task = asyncio.create_task(perform(claim))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def wind_down(self, grace_s: float) -> None:
        """Let the runs end for `grace_s`, then cancel them; one that goes on in spite of that is left to its lease."""
        if self._tasks and grace_s > 0:
            await asyncio.wait(self._tasks, timeout=grace_s)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_CANCELLED_WITHIN_S)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("cron run not recorded; its lease will run out", exc_info=error)


async def _start_next(worker: str, runs: _Runs) -> float:
    """Start one due run where there is room; return how many seconds there will be nothing to start."""
    poll_s = settings().CRON_POLL_SECONDS
    if not runs.has_room:
        return poll_s
    claim = await claim_due(worker)
    if claim is None:
        return max(await seconds_until_due(poll_s), _LEAST_PAUSE_S)
    runs.start(claim)
    return 0


async def _pause(wake: asyncio.Event, pause_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(wake.wait(), pause_s)


async def _wake_by_bell(wake: asyncio.Event) -> None:
    while True:
        if await runtime().bell.wait("cron", settings().CRON_POLL_SECONDS):
            wake.set()


async def _wake_by_stop(stop: asyncio.Event, wake: asyncio.Event) -> None:
    await stop.wait()
    wake.set()
