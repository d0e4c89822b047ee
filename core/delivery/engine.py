"""The delivery engine: claims what is due, shares it out over servers and lanes, and keeps their connections open.

One engine serves one worker. In `catch` mode its lanes end in the dev mailbox, in `hold` mode it claims nothing.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Self

import structlog
from tortoise.exceptions import BaseORMException

from core import clock
from core.delivery.catch import catch
from core.delivery.claim import claim, extend, release, sweep
from core.delivery.job import Claimed, Job
from core.delivery.lane import ServerFault, SmtpLane
from core.delivery.ledger import Ledger
from core.delivery.mail import Mail, prepare
from core.delivery.outgoing import load_messages
from core.delivery.results import Result
from core.delivery.servers import NO_SERVER, Server, Servers, load_servers, note_fault, note_success
from core.mail.address import parse_address
from core.mail.retry import Outcome
from core.runtime import get_model, runtime, settings
from core.transport.smtp import PoolLimits, SmtpError, SmtpPool

log = structlog.get_logger(__name__)

_CLAIMS_PER_LANE = 32
_SWEEP_EVERY_S = 5.0
TOPIC = "delivery"
"""What the bell rings when mail was queued."""


@dataclass(slots=True)
class Flushed:
    """What one flush did: how many deliveries it claimed, and how many of them it put off."""

    claimed: int = 0
    put_off: int = 0


class Engine:
    """Sends queued mail until it is closed."""

    def __init__(self, worker: str | None = None):
        self.worker = worker or f"{socket.gethostname()}:{os.getpid()}"
        self.ledger = Ledger(self.worker)
        self._pools: dict[Server, SmtpPool] = {}
        self.fault_lock = asyncio.Lock()
        self._stopping = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.ledger.flush()
        for pool in self._pools.values():
            await pool.aclose()
        self._pools.clear()

    async def run(self, stop: asyncio.Event) -> None:
        """Send what is queued until `stop`, woken by the bell and looking by itself now and then."""
        stopping = asyncio.create_task(self._stop_on(stop))
        swept_at = float("-inf")
        try:
            while not stop.is_set():
                busy = False
                try:
                    if asyncio.get_running_loop().time() - swept_at > _SWEEP_EVERY_S:
                        await sweep()
                        swept_at = asyncio.get_running_loop().time()
                    busy = (await self.flush()).claimed > 0
                except (OSError, BaseORMException) as error:
                    log.warning("database away", worker=self.worker, error=str(error))
                if not busy:
                    await self._rest(stop)
        finally:
            stopping.cancel()
            with suppress(asyncio.CancelledError):
                await stopping

    async def drain(self) -> int:
        """Send until nothing is due; return how many deliveries were claimed."""
        await sweep()
        total = 0
        while not self._stopping and (claimed := (await self.flush()).claimed):
            total += claimed
        return total

    async def flush(self, *, limit: int | None = None, message_id: int | None = None) -> Flushed:
        """Claim and send one batch; of one message only, when it is named."""
        if settings().MAIL_MODE == "hold":
            return Flushed()
        most = limit or settings().SMTP_CONCURRENCY * _CLAIMS_PER_LANE
        token, claimed = await claim(most, message_id=message_id)
        report = Flushed(claimed=len(claimed))
        if claimed:
            async with _kept_alive(token):
                jobs = await _jobs(token, claimed)
                if settings().MAIL_MODE == "catch":
                    await catch(jobs, self.worker)
                else:
                    await self._send(token, jobs, report)
                await self.ledger.flush()
        return report

    async def _send(self, token: str, jobs: Sequence[Job], report: Flushed) -> None:
        servers = await load_servers()
        shares: dict[Server | None, deque[Job]] = defaultdict(deque)
        for job in jobs:
            shares[_choose(servers, job)].append(job)
        homeless = shares.pop(None, deque())
        if homeless:
            self._no_server(homeless)
        async with asyncio.TaskGroup() as group:
            for server, share in shares.items():
                if server is not None:
                    group.create_task(_Share(self, server, servers, token, share, report).send())

    def _no_server(self, jobs: Sequence[Job]) -> None:
        self.ledger.record([result for job in jobs for result in _unsendable(job, Outcome.SERVER, NO_SERVER)])

    def pool(self, server: Server) -> SmtpPool:
        """Return the open connections to a server; a changed account gets new ones."""
        for known in [known for known in self._pools if known.key == server.key and known != server]:
            asyncio.get_running_loop().create_task(self._pools.pop(known).aclose())
        if server not in self._pools:
            limits = PoolLimits(
                connections=settings().SMTP_CONCURRENCY, messages_per_connection=settings().SMTP_MAX_PER_CONNECTION
            )
            self._pools[server] = SmtpPool(server.account, limits)
        return self._pools[server]

    @property
    def is_stopping(self) -> bool:
        return self._stopping

    async def _stop_on(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._stopping = True

    async def _rest(self, stop: asyncio.Event) -> None:
        """Wait for the bell, the poll interval, or the end."""
        bell = asyncio.create_task(runtime().bell.wait(TOPIC, settings().CRON_POLL_SECONDS))
        end = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({bell, end}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (bell, end):
                task.cancel()
            await asyncio.gather(bell, end, return_exceptions=True)


class _Share:
    """The jobs of one claim that go to one server, worked off by a few lanes."""

    def __init__(self, engine: Engine, server: Server, servers: Servers, token: str, jobs: deque[Job], report: Flushed):
        self.engine = engine
        self.server = server
        self.token = token
        self.jobs = jobs
        self.report = report
        self.had_faults = server.key in servers.paused_until
        self.pause_s = 0.0
        self.reason = "it is paused after repeated faults"
        if self.had_faults:
            self.pause_s = max(0.0, (servers.paused_until[server.key] - clock.now()).total_seconds())

    async def send(self) -> None:
        if not self.pause_s:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(settings().SMTP_CONCURRENCY, len(self.jobs))):
                    group.create_task(self._lane())
        await self._put_off_rest()

    async def _lane(self) -> None:
        pool = self.engine.pool(self.server)
        while self._goes_on():
            try:
                async with pool.session() as session:
                    lane = SmtpLane(session, self, self.engine.ledger, pool.limits.messages_per_connection)
                    try:
                        await lane.run()
                    finally:
                        await self._worked(lane.accepted)
            except (SmtpError, ServerFault) as fault:
                async with self.engine.fault_lock:
                    wait = await note_fault(self.server.key, str(fault))
                self.had_faults = True
                self.reason = str(fault)
                log.warning("server fault", server=self.server.key, pause_s=wait.total_seconds(), reason=str(fault))
                self.pause_s = max(self.pause_s, wait.total_seconds())

    async def take(self) -> Mail | None:
        """Compose and return the next mail; one that cannot be composed is recorded and passed over."""
        while self._goes_on():
            job = self.jobs.popleft()
            try:
                return await prepare(job)
            except Exception as error:  # One mail is an edge: whatever its template, hook or file did stays its own.
                log.warning("mail cannot be composed", message_id=job.message_id, error=str(error))
                words = f"The mail could not be composed: {error}"
                self.engine.ledger.record(_unsendable(job, Outcome.TEMPORARY, words))
        return None

    def give_back(self, mail: Mail) -> None:
        self.jobs.appendleft(mail.job)

    def _goes_on(self) -> bool:
        return bool(self.jobs) and not self.pause_s and not self.engine.is_stopping

    async def _worked(self, accepted: int) -> None:
        if accepted and self.had_faults:
            self.had_faults = False
            await note_success(self.server.key)

    async def _put_off_rest(self) -> None:
        ids = [delivery.id for job in self.jobs for delivery in job.deliveries]
        if not ids:
            return
        self.report.put_off += len(ids)
        await release(self.token, ids, wait_s=self.pause_s)
        if self.pause_s:
            words = f"Waiting: the server {self.server.account} is left alone for {self.pause_s:.0f} s. {self.reason}"
            await get_model("Message").filter(id__in=[job.message_id for job in self.jobs]).update(error=words)


async def _jobs(token: str, claimed: Sequence[Claimed]) -> list[Job]:
    by_message: dict[int, list[Claimed]] = defaultdict(list)
    for delivery in claimed:
        by_message[delivery.message_id].append(delivery)
    messages = await load_messages(list(by_message))
    return [Job(token, messages[message_id], tuple(rows)) for message_id, rows in by_message.items()]


def _choose(servers: Servers, job: Job) -> Server | None:
    sender = parse_address(job.message["email_from"]).address
    return servers.choose(job.message["author_id"], job.message["company_id"], sender)


def _unsendable(job: Job, outcome: Outcome, words: str) -> list[Result]:
    return [Result(delivery, job.token, outcome, "compose", reply=words) for delivery in job.deliveries]


@asynccontextmanager
async def _kept_alive(token: str) -> AsyncIterator[None]:
    """Renew the claim's lease while it is worked on; a worker that stops doing so loses it."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(settings().LEASE_SECONDS / 6)
            with suppress(OSError, BaseORMException):
                await extend(token)

    heartbeat = asyncio.create_task(beat())
    try:
        yield
    finally:
        heartbeat.cancel()
        with suppress(asyncio.CancelledError):
            await heartbeat
