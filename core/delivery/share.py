"""One server's share of a claim, worked off by a few lanes; what they leave is given back."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from datetime import datetime
from typing import Protocol

import structlog

from core import clock
from core.delivery.claim import release
from core.delivery.job import Job
from core.delivery.lane import ServerFault, SmtpLane
from core.delivery.ledger import Ledger
from core.delivery.mail import Mail, prepare
from core.delivery.results import unsendable
from core.delivery.servers import Server, note_fault, note_success
from core.mail.retry import Outcome
from core.orm.outage import database_errors, outage_errors
from core.runtime import get_model, settings
from core.transport.smtp import SmtpError, SmtpPool

log = structlog.get_logger(__name__)

_BUSY_S = 5.0
"""How long mail steps aside while all connections to its server are taken by an earlier claim."""
_LONGEST_PUT_OFF_S = 120.0
"""Mail for a paused server looks again after this long at the latest, since somebody may have mended it."""
_DATABASE_AWAY_S = 5.0
_UNNOTED_FAULT_S = 30.0


class Host(Protocol):
    """What a share needs of its engine."""

    ledger: Ledger

    @property
    def is_stopping(self) -> bool: ...

    def pool(self, server: Server) -> SmtpPool: ...


class Share:
    """The jobs of one claim that go to one server. `paused_until` is None where the server has no faults on record."""

    def __init__(self, engine: Host, server: Server, paused_until: datetime | None, token: str, jobs: deque[Job]):
        self._engine = engine
        self._server = server
        self._pool = engine.pool(server)
        self._token = token
        self._jobs = jobs
        self._had_faults = paused_until is not None
        self._wait_s = 0.0
        self._why_wait = ""
        if paused_until is not None and paused_until > clock.now():
            self._put_off((paused_until - clock.now()).total_seconds(), "It failed repeatedly.")

    async def send(self) -> None:
        """Send what can be sent now; the rest is queued again, due when it makes sense."""
        if self._pool.is_full and not self._wait_s:
            self._put_off(_BUSY_S, "All its connections are busy.")
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(settings().SMTP_CONCURRENCY, len(self._jobs)) if self._goes_on() else 0):
                    group.create_task(self._lane())
        finally:
            # The lease gives back what an absent database cannot be told now.
            with suppress(*database_errors()):
                await self._release_rest()

    async def take(self) -> Mail | None:
        """Compose and return the next mail; one that cannot be composed is recorded and passed over."""
        while self._goes_on():
            job = self._jobs.popleft()
            try:
                return await prepare(job)
            except outage_errors() as error:
                self._jobs.appendleft(job)
                self._put_off(_DATABASE_AWAY_S, f"The database is away: {error}")
            except Exception as error:  # One mail is an edge: whatever its template, hook or file did stays its own.
                log.warning("mail cannot be composed", message_id=job.message_id, error=str(error))
                words = f"The mail could not be composed: {error}"
                self._engine.ledger.record(unsendable(job, Outcome.TEMPORARY, words))
        return None

    def give_back(self, mail: Mail) -> None:
        """Take back a mail of which no content was sent."""
        self._jobs.appendleft(mail.job)

    def lose(self) -> None:
        """Forget all that is left: the claim's lease is lost, and somebody else sends it."""
        self._jobs.clear()

    async def _lane(self) -> None:
        while self._goes_on():
            try:
                async with self._pool.session() as session:
                    lane = SmtpLane(session, self, self._engine.ledger, self._pool.limits.messages_per_connection)
                    try:
                        await lane.run()
                    finally:
                        await self._worked(lane.accepted)
            except (SmtpError, ServerFault) as fault:
                await self._failed(str(fault))

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

    def _goes_on(self) -> bool:
        return bool(self._jobs) and not self._wait_s and not self._engine.is_stopping

    async def _release_rest(self) -> None:
        ids = [delivery.id for job in self._jobs for delivery in job.deliveries]
        if not ids:
            return
        await release(self._token, ids, wait_s=min(self._wait_s, _LONGEST_PUT_OFF_S))
        if self._wait_s:
            words = f"Waiting: {self._server.account} is left alone for {self._wait_s:.0f} s. {self._why_wait}"
            messages = get_model("Message").filter(id__in=[job.message_id for job in self._jobs])
            await messages.exclude(send_state="Sent").update(error=words)
