"""One server's share of a claim, worked off by a few lanes; what they leave is given back."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterable
from contextlib import AbstractContextManager, AsyncExitStack, suppress
from datetime import datetime
from logging import ERROR, WARNING
from time import monotonic
from typing import Protocol

import structlog

from core import clock
from core.delivery.backlog import BUSY_S
from core.delivery.claim import release, still_claimed
from core.delivery.crash import on_record
from core.delivery.job import Job
from core.delivery.lane import ServerFault, SmtpLane
from core.delivery.ledger import Ledger
from core.delivery.mail import Mail, prepare
from core.delivery.pacing import Pace, Wait
from core.delivery.results import unsendable
from core.delivery.servers import Server, note_fault, note_success
from core.delivery.side_by_side import side_by_side
from core.mail.retry import Outcome
from core.orm.outage import database_errors, is_outage
from core.runtime import get_model
from core.transport.smtp import SmtpError, SmtpPool, SmtpSession

log = structlog.get_logger(__name__)

_LONGEST_PUT_OFF_S = 120.0
"""Mail for a paused server looks again after this long at the latest, since somebody may have mended it."""
_LONGEST_WAIT_S = 2.0
"""A lane waits so long for its rate; beyond that it lets go of what it has."""
_DATABASE_AWAY_S = 5.0
_UNNOTED_FAULT_S = 30.0


class Host(Protocol):
    """What a share needs of its engine."""

    ledger: Ledger
    suspects: asyncio.Lock
    longest_held_s: float

    @property
    def is_stopping(self) -> bool: ...

    def holding(self, key: str, jobs: deque[Job]) -> AbstractContextManager[float]: ...

    def make_room(self, key: str) -> None: ...

    def note_given_back(self) -> None: ...

    def pool(self, server: Server) -> SmtpPool: ...


class Share:
    """The jobs of one claim that go to one server. `paused_until` is None where the server has no faults on record."""

    def __init__(
        self,
        engine: Host,
        server: Server,
        paused_until: datetime | None,
        token: str,
        jobs: deque[Job],
        pace: Pace | None = None,
    ):
        self._engine = engine
        self._server = server
        self._pool = engine.pool(server)
        self._token = token
        self._jobs = jobs
        self._pace = pace
        self._turn = asyncio.Lock()
        self._later: dict[Wait, list[Job]] = defaultdict(list)
        self._opening = 0
        """How many lanes wait for their connection."""
        self._had_faults = paused_until is not None
        self._wait_s = 0.0
        self._why_wait = ""
        self._until: float | None = None
        """When what is not begun goes back to the queue; counted from the first that is."""
        if paused_until is not None and paused_until > clock.now():
            self._put_off((paused_until - clock.now()).total_seconds(), server.fault)

    async def send(self) -> None:
        """Send what can be sent now; the rest is queued again, due when it makes sense."""
        try:
            with self._engine.holding(self._server.key, self._jobs) as busy_s:
                if busy_s and not self._wait_s:
                    await self._step_aside(busy_s)
                lanes = min(self._server.concurrency, len(self._jobs)) if self._goes_on() else 0
                await side_by_side(self._lane() for _ in range(lanes))
        finally:
            # The lease gives back what an absent database cannot be told now.
            with suppress(*database_errors()):
                await self._release_rest()

    async def take(self, *, can_wait: bool) -> Mail | None:
        """Compose and return the next mail; one that cannot be composed is recorded and passed over."""
        while self._goes_on():
            if not can_wait and len(self._jobs) <= self._opening:
                # What is left is for the lanes to come: behind another mail it would wait for that one's answer.
                return None
            job = self._jobs.popleft() if self._pace is None else await self._paced(self._pace, can_wait)
            if job is None:
                return None
            if self._until is None:
                self._until = monotonic() + self._engine.longest_held_s
            if not self._jobs:
                self._engine.make_room(self._server.key)
            try:
                return await self._composed(job)
            except asyncio.CancelledError:
                self._jobs.appendleft(job)
                raise
            except Exception as error:  # One mail is an edge: whatever its template, hook or file did stays its own.
                if is_outage(error):
                    self._jobs.appendleft(job)
                    self._away(error)
                    return None
                log.warning("mail cannot be composed", message_id=job.message_id, error=str(error))
                words = f"The mail could not be composed: {error}"
                self._engine.ledger.record(unsendable(job, Outcome.TEMPORARY, words))
        return None

    async def _composed(self, job: Job) -> Mail:
        """Compose a job's mail; one that a worker may have died of alone, and on record."""
        if not job.is_suspect:
            return await prepare(job, tracks=self._server.tracks)
        async with self._engine.suspects, on_record(job):
            return await prepare(job, tracks=self._server.tracks)

    async def _paced(self, pace: Pace, can_wait: bool) -> Job | None:
        """Return the next job that no rate forbids; those whose domain has to wait step aside."""
        if self._turn.locked() and not can_wait:
            return None
        async with self._turn:
            while self._goes_on():
                job = self._jobs.popleft()
                try:
                    wait = await pace.admit([delivery.recipient for delivery in job.deliveries])
                except database_errors(asyncio.CancelledError) as error:
                    self._jobs.appendleft(job)
                    if isinstance(error, asyncio.CancelledError):
                        raise
                    self._away(error)
                    return None
                if wait is None:
                    return job
                if not wait.is_for_all:
                    self._later[wait].append(job)
                    continue
                self._jobs.appendleft(job)
                if not can_wait:
                    return None
                if wait.seconds > _LONGEST_WAIT_S:
                    self._put_off(wait.seconds, wait.words)
                else:
                    await asyncio.sleep(wait.seconds)
        return None

    def give_back(self, mail: Mail) -> None:
        """Take back a mail of which no content was sent."""
        self._jobs.appendleft(mail.job)

    async def lose(self, mail: Mail) -> None:
        """Give back what is still ours of a mail that must not be sent, and of those that wait behind it."""
        ours = await still_claimed(self._token)
        gone = [job for job in self._jobs if not all(delivery.id in ours for delivery in job.deliveries)]
        await release(self._token, _ids([mail.job, *gone]))
        kept = [job for job in self._jobs if job not in gone]
        self._jobs.clear()
        self._jobs.extend(kept)

    async def _lane(self) -> None:
        while self._goes_on():
            try:
                async with AsyncExitStack() as stack:
                    session = await self._opened(stack)
                    lane = SmtpLane(session, self, self._engine.ledger, self._pool.limits.messages_per_connection)
                    try:
                        await lane.run()
                    finally:
                        await self._worked(lane.accepted)
            except (SmtpError, ServerFault) as fault:
                await self._failed(str(fault))
            except database_errors() as error:
                self._away(error)

    async def _opened(self, stack: AsyncExitStack) -> SmtpSession:
        self._opening += 1
        try:
            return await stack.enter_async_context(self._pool.session())
        finally:
            self._opening -= 1

    async def _failed(self, fault: str) -> None:
        self._had_faults = True
        try:
            wait_s = (await note_fault(self._server.key, fault)).total_seconds()
        except database_errors():
            wait_s = _UNNOTED_FAULT_S
        log.warning("server fault", server=self._server.key, pause_s=wait_s, reason=fault)
        self._put_off(wait_s, fault)

    async def _worked(self, accepted: int) -> None:
        if accepted and self._had_faults:
            with suppress(*database_errors()):
                await note_success(self._server.key)
                self._had_faults = False

    def _put_off(self, wait_s: float, why: str) -> None:
        if wait_s > self._wait_s:
            self._wait_s, self._why_wait = wait_s, why

    def _away(self, error: BaseException) -> None:
        """Begin no more mail; the lanes that wait for answers go on, for those are worth having."""
        log.log(WARNING if is_outage(error) else ERROR, "the database failed a share", error=repr(error))
        self._put_off(_DATABASE_AWAY_S, f"The database is away: {error}")

    def _goes_on(self) -> bool:
        is_late = self._until is not None and monotonic() > self._until
        return bool(self._jobs) and not (self._wait_s or is_late or self._engine.is_stopping)

    async def _step_aside(self, busy_s: float) -> None:
        """Give all back, since the server has mail waiting that was claimed before."""
        jobs = [*self._jobs]
        self._jobs.clear()
        await release(self._token, _ids(jobs), wait_s=busy_s)
        self._engine.note_given_back()
        if busy_s == BUSY_S:
            await _say(jobs, f"Waiting: {self._server.account} has much mail that was claimed before.")

    async def _release_rest(self) -> None:
        if self._jobs:
            wait_s = min(self._wait_s, _LONGEST_PUT_OFF_S)
            await release(self._token, _ids(self._jobs), wait_s=wait_s)
            if self._wait_s:
                left_alone = f"{self._server.account} is left alone for {clock.span(self._wait_s)}."
                await _say(self._jobs, f"Waiting: {left_alone} {self._why_wait or await _why_paused(self._server.key)}")
        for wait, jobs in self._later.items():
            await release(self._token, _ids(jobs), wait_s=min(wait.seconds, _LONGEST_PUT_OFF_S))
            await _say(jobs, f"Waiting: {wait.words}")
        if self._jobs or self._later:
            self._engine.note_given_back()
            self._engine.make_room(self._server.key)
        if self._pace is not None:
            await self._pace.give_back()


def _ids(jobs: Iterable[Job]) -> list[int]:
    return [delivery.id for job in jobs for delivery in job.deliveries]


async def _say(jobs: Iterable[Job], words: str) -> None:
    """Let the messages say why they wait."""
    messages = get_model("Message").filter(id__in=[job.message_id for job in jobs])
    await messages.exclude(send_state__in=("Sent", "Cancelled", "Held")).update(error=words)


async def _why_paused(key: str) -> str:
    row = await get_model("ServerPause").get_or_none(server=key)
    return row.reason if row is not None and row.reason else "It failed repeatedly."
