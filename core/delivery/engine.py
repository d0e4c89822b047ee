"""The delivery engine: claims what is due, shares it out over servers and lanes, and keeps their connections open.

One engine serves one worker. In `catch` mode its lanes end in the dev mailbox, in `hold` mode it claims nothing.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import Self

import structlog

from core.delivery.catch import catch
from core.delivery.claim import claim, extend, sweep
from core.delivery.job import Claimed, Job
from core.delivery.ledger import Ledger
from core.delivery.outgoing import load_messages
from core.delivery.results import unsendable
from core.delivery.servers import Server, Servers, load_servers
from core.delivery.share import Share
from core.errors import PostroomError
from core.mail.address import parse_address
from core.mail.retry import Outcome
from core.orm.outage import database_errors
from core.orm.transaction import refuse_inside
from core.runtime import runtime, settings, this_worker
from core.transport.smtp import PoolLimits, SmtpPool

log = structlog.get_logger(__name__)

_CLAIMS_PER_LANE = 32
_FLUSHES_AT_ONCE = 4
_STALLED_S = 1.0
"""When the flushes under way have got no answer for so long, another one begins: one dead server stops no other."""
_SWEEP_EVERY_S = 5.0
_GRACE_S = 20.0
"""How long a stopped worker lets what is on its way come to its end."""
TOPIC = "delivery"
"""What the bell rings when mail was queued."""


class Engine:
    """Sends queued mail until it is closed."""

    def __init__(self, worker: str | None = None):
        self.worker = worker or this_worker()
        self.ledger = Ledger(self.worker)
        self._pools: dict[Server, SmtpPool] = {}
        self._stop = asyncio.Event()
        self._swept_at = float("-inf")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.ledger.aclose()
        for pool in self._pools.values():
            await pool.aclose()
        self._pools.clear()

    async def run(self, stop: asyncio.Event) -> None:
        """Send what is queued until `stop`, woken by the bell and looking by itself now and then.

        What is on its way then has some seconds to end; the rest is given back.
        """
        self._stop = stop
        flushes: set[asyncio.Task[int]] = set()
        try:
            while not stop.is_set():
                flushes = {one for one in flushes if not one.done()}
                if len(flushes) < _FLUSHES_AT_ONCE:
                    flush = asyncio.create_task(self._flush_or_log())
                    flushes.add(flush)
                    await self._until_done_or_stalled(flush)
                if len(flushes) == _FLUSHES_AT_ONCE or (flush.done() and not flush.result()):
                    await self._rest()
        finally:
            if flushes:
                await asyncio.wait(flushes, timeout=_GRACE_S)
            for one in flushes:
                one.cancel()
            await asyncio.gather(*flushes, return_exceptions=True)

    async def drain(self, *, at_most_s: float = float("inf")) -> int:
        """Send until nothing is due, or the time is up; return how many deliveries were claimed."""
        await sweep()
        until = monotonic() + at_most_s
        total = 0
        while not self._stop.is_set() and (claimed := await self.flush()):
            total += claimed
            if monotonic() > until:
                break
        return total

    async def flush(self, *, message_id: int | None = None) -> int:
        """Claim and send one batch, of one message only when it is named; return how many deliveries were claimed."""
        refuse_inside("Sending mail")
        if settings().MAIL_MODE == "hold":
            return 0
        token, claimed = await claim(settings().SMTP_CONCURRENCY * _CLAIMS_PER_LANE, message_id=message_id)
        if claimed:
            async with _kept_alive(token):
                jobs = await _jobs(token, claimed)
                if settings().MAIL_MODE == "catch":
                    await catch(jobs, self.worker)
                else:
                    await self._send(token, jobs)
                await self.ledger.flush()
        return len(claimed)

    @property
    def is_stopping(self) -> bool:
        """Whether no further mail may be begun."""
        return self._stop.is_set()

    def pool(self, server: Server) -> SmtpPool:
        """Return the open connections to a server; a changed account gets new ones."""
        if server not in self._pools:
            values = settings()
            limits = PoolLimits(
                connections=values.SMTP_CONCURRENCY, messages_per_connection=values.SMTP_MAX_PER_CONNECTION
            )
            self._pools[server] = SmtpPool(server.account, limits)
        return self._pools[server]

    async def _send(self, token: str, jobs: Sequence[Job]) -> None:
        servers = await load_servers()
        shares: dict[Server, deque[Job]] = defaultdict(deque)
        for job in jobs:
            try:
                server = _choose(servers, job)
            except PostroomError as error:
                self.ledger.record(unsendable(job, Outcome.PERMANENT, f"The mail has no usable sender: {error}"))
                continue
            if server is None:
                self.ledger.record(unsendable(job, Outcome.SERVER, servers.none_for(job.message["email_from"])))
            else:
                shares[server].append(job)
        async with asyncio.TaskGroup() as group:
            for server, share in shares.items():
                group.create_task(Share(self, server, servers.paused_until.get(server.key), token, share).send())

    async def _flush_or_log(self) -> int:
        """Flush for the worker's loop, which goes on whatever happened; return how many deliveries were claimed."""
        try:
            if monotonic() - self._swept_at > _SWEEP_EVERY_S:
                self._swept_at = monotonic()
                await sweep()
            return await self.flush()
        except* database_errors(PostroomError) as faults:
            log.warning("sending stopped for now", worker=self.worker, errors=list(map(str, faults.exceptions)))
        return 0

    async def _until_done_or_stalled(self, flush: asyncio.Task[int]) -> None:
        started_at = monotonic()
        while not flush.done() and not self._stop.is_set():
            await asyncio.wait({flush}, timeout=_STALLED_S)
            if monotonic() - max(started_at, self.ledger.recorded_at) > _STALLED_S:
                return

    async def _rest(self) -> None:
        """Wait for the bell, the poll interval, or the stop."""
        waits = {
            asyncio.create_task(runtime().bell.wait(TOPIC, settings().CRON_POLL_SECONDS)),
            asyncio.create_task(self._stop.wait()),
        }
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)


async def _jobs(token: str, claimed: Sequence[Claimed]) -> list[Job]:
    by_message: dict[int, list[Claimed]] = defaultdict(list)
    for delivery in claimed:
        by_message[delivery.message_id].append(delivery)
    messages = await load_messages(list(by_message))
    # A message that was deleted since the claim took its deliveries along.
    return [Job(token, messages[one], tuple(rows)) for one, rows in by_message.items() if one in messages]


def _choose(servers: Servers, job: Job) -> Server | None:
    sender = parse_address(job.message["email_from"]).address
    return servers.choose(job.message["author_id"], job.message["company_id"], sender)


@asynccontextmanager
async def _kept_alive(token: str) -> AsyncIterator[None]:
    """Renew the claim's lease while it is worked on; a worker that stops doing so loses it."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(settings().LEASE_SECONDS / 6)
            with suppress(*database_errors()):
                await extend(token)

    heartbeat = asyncio.create_task(beat())
    try:
        yield
    finally:
        heartbeat.cancel()
        with suppress(asyncio.CancelledError):
            await heartbeat
