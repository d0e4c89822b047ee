"""The delivery engine: claims what is due, shares it out over servers and lanes, and keeps their connections open.

One engine serves one worker. In `catch` mode its lanes end in the dev mailbox, in `hold` mode it claims nothing.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from functools import cache, partial
from logging import ERROR, WARNING
from time import monotonic
from typing import Any, Self

import structlog

from core.delivery.backlog import Backlog
from core.delivery.catch import catch
from core.delivery.channel import EMAIL, send_by_channels
from core.delivery.claim import claim, extend, let_go, next_due_in_s, sweep
from core.delivery.job import Job
from core.delivery.ledger import Ledger
from core.delivery.load import load_jobs, reasons_to_drop
from core.delivery.pacing import Limit, Pace, domain_limits, limits_of
from core.delivery.results import drop, unsendable
from core.delivery.servers import Server, Servers, load_servers
from core.delivery.share import Share
from core.delivery.side_by_side import side_by_side
from core.errors import PostroomError, SchemaError
from core.mail.address import parse_address
from core.mail.retry import Outcome
from core.orm.outage import database_errors, is_outage
from core.orm.schema import stamp_of
from core.orm.transaction import refuse_inside
from core.runtime import runtime, settings, this_worker
from core.transport.smtp import PoolLimits, SmtpPool

log = structlog.get_logger(__name__)

_LEAST_PER_LANE = 2
_MOST_PER_LANE = 32
_CLAIM_S = 1.0
"""A claim holds about as much as is sent in this time, so that what is more urgent need not wait for long."""
_EVERY_OLDEST = 4
"""Each so-many-th claim takes what has waited longest, whatever its priority."""
_FLUSHES_AT_ONCE = 64
_YOUNG_AT_ONCE = 4
"""So many flushes that are not long under way; mail that is queued meanwhile makes one claim, not one for each."""
_STALLED_S = 1.0
"""When the flushes under way have got no answer for so long, another one begins: one dead server stops no other."""
_LONGEST_HELD_S = 3.0
"""What a slow server has not begun by then goes back to the queue, where more urgent mail may come before it."""
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
        self.suspects = asyncio.Lock()
        """Held while a mail is composed that a worker may have died of: one at a time, so that the next death tells."""
        self._pools: dict[Server, SmtpPool] = {}
        self._stop = asyncio.Event()
        self._swept_at = float("-inf")
        self._stamp: str | None = None
        self._flushes = 0
        self._backlogs: dict[str, Backlog] = defaultdict(Backlog)
        self._has_room = asyncio.Event()
        """Set when a server has nothing waiting any more of what was claimed for it."""
        self._gave_back = asyncio.Event()
        """Set when claimed mail went back to the queue."""
        self.longest_held_s = float("inf")
        """How long a share may keep what it has not begun."""
        self._claim_size = settings().SMTP_CONCURRENCY * _LEAST_PER_LANE

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.ledger.aclose()
        for pool in self._pools.values():
            await pool.aclose()
        self._pools.clear()

    async def run(self, stop: asyncio.Event) -> None:
        """Send what is queued until `stop`, woken by the bell and looking by itself now and then.

        The next claim is made as soon as one server has begun all that it had of the last, so that it need not wait for
        slower ones, nor for its own last answers. What is on its way at the stop has some seconds to end; the rest is
        given back.
        """
        self._stop = stop
        self.longest_held_s = _LONGEST_HELD_S
        runtime().is_sending = True
        flushes: dict[asyncio.Task[int], float] = {}
        try:
            while not stop.is_set():
                flushes = {one: begun_at for one, begun_at in flushes.items() if not _is_over(one)}
                if _are_enough(list(flushes.values())):
                    await asyncio.wait(flushes, timeout=_STALLED_S / 10, return_when=asyncio.FIRST_COMPLETED)
                    continue
                self._has_room.clear()
                self._gave_back.clear()
                flush = asyncio.create_task(self._flush_or_log())
                flushes[flush] = monotonic()
                await self._until_next_claim(flush)
                if _is_over(flush) and not flush.result():
                    await self._rest()
        finally:
            runtime().is_sending = False
            if flushes:
                await asyncio.wait(flushes, timeout=_GRACE_S)
            for one in flushes:
                one.cancel()
            await asyncio.gather(*flushes, return_exceptions=True)

    async def drain(self, *, at_most_s: float = float("inf")) -> int:
        """Send until nothing is due, or the time is up; return how many deliveries were claimed.

        What is on its way when this is cancelled has some seconds to end; the rest is given back.
        """
        await sweep()
        until = monotonic() + at_most_s
        total = 0
        while not self._stop.is_set() and (claimed := await self._flush_to_its_end()):
            total += claimed
            if monotonic() > until:
                break
        return total

    async def _flush_to_its_end(self) -> int:
        flush = asyncio.create_task(self.flush())
        try:
            return await asyncio.shield(flush)
        except asyncio.CancelledError:
            self._stop.set()
            await asyncio.wait((flush,), timeout=_GRACE_S)
            raise
        finally:
            flush.cancel()
            await asyncio.gather(flush, return_exceptions=True)

    async def flush(self, *, message_id: int | None = None) -> int:
        """Claim and send one batch, of one message only when it is named; return how many deliveries were claimed."""
        refuse_inside("Sending mail")
        if settings().MAIL_MODE == "hold":
            return 0
        self._flushes += 1
        token, claimed = await claim(
            self._claim_size, message_id=message_id, oldest_first=self._flushes % _EVERY_OLDEST == 0
        )
        if claimed:
            begun_at = monotonic()
            async with _kept_alive(token), _let_go_on_fault(token):
                jobs = await self._sendable(await load_jobs(token, claimed))
                if settings().MAIL_MODE == "catch":
                    await catch(jobs, self.worker)
                else:
                    await self._send(token, jobs)
                await self.ledger.flush()
            self._claim_size = _next_size(len(claimed), monotonic() - begun_at)
        return len(claimed)

    @property
    def is_stopping(self) -> bool:
        """Whether no further mail may be begun."""
        return self._stop.is_set()

    def pool(self, server: Server) -> SmtpPool:
        """Return the open connections to a server; a changed account gets new ones."""
        if server not in self._pools:
            values = settings()
            limits = PoolLimits(connections=server.concurrency, messages_per_connection=values.SMTP_MAX_PER_CONNECTION)
            self._pools[server] = SmtpPool(server.account, limits)
        return self._pools[server]

    def holding(self, key: str, jobs: deque[Job]) -> AbstractContextManager[float]:
        """Count `jobs` as held for a server or provider; gives the seconds that they should step aside for first."""
        return self._backlogs[key].share(jobs)

    def make_room(self, key: str) -> None:
        """Have more claimed if all that is held for this server or provider is begun."""
        if self._backlogs[key].is_begun:
            self._has_room.set()

    def note_given_back(self) -> None:
        """Have somebody look when what went back to the queue is due."""
        self._gave_back.set()

    async def _sendable(self, jobs: Sequence[Job]) -> list[Job]:
        """Drop what must not be sent any more, and return the rest."""
        dropped = await reasons_to_drop(jobs)
        for job in jobs:
            for delivery in job.deliveries:
                if delivery.id in dropped:
                    self.ledger.record([drop(job, delivery, dropped[delivery.id])])
        left = [job.without(dropped) for job in jobs] if dropped else jobs
        return [job for job in left if job.deliveries]

    async def _send(self, token: str, jobs: Sequence[Job]) -> None:
        servers = await load_servers()
        shares: dict[Server, deque[Job]] = defaultdict(deque)
        texts: list[Job] = []
        choose = cache(partial(_choose, servers))
        for job in jobs:
            row = job.outgoing.row
            if row["channel"] != EMAIL:
                texts.append(job)
                continue
            try:
                server = choose(row["author_id"], row["company_id"], row["email_from"], row["server"])
            except PostroomError as error:
                self.ledger.record(unsendable(job, Outcome.PERMANENT, f"The mail has no usable sender: {error}"))
                continue
            if server is None:
                words = servers.none_for(row["email_from"], row["server"])
                self.ledger.record(unsendable(job, Outcome.SERVER, words))
            else:
                shares[server].append(job)
        domains = await domain_limits()
        ready = [
            Share(self, server, servers.paused_until.get(server.key), token, jobs_of_it, _pace(server, domains))
            for server, jobs_of_it in shares.items()
        ]
        await side_by_side([send_by_channels(self, token, texts), *(share.send() for share in ready)])

    async def _flush_or_log(self) -> int:
        """Flush for the worker's loop, which goes on whatever happened; return how many deliveries were claimed."""
        try:
            await self._require_same_schema()
            if monotonic() - self._swept_at > _SWEEP_EVERY_S:
                self._swept_at = monotonic()
                await sweep()
            return await self.flush()
        except* database_errors(PostroomError) as faults:
            errors = list(_each(faults))
            ours = next((one for one in errors if not (isinstance(one, PostroomError) or is_outage(one))), None)
            level = WARNING if ours is None else ERROR
            log.log(level, "sending stopped for now", worker=self.worker, errors=list(map(str, errors)), exc_info=ours)
        return 0

    async def _require_same_schema(self) -> None:
        """Raise SchemaError where another version brought the database up to date under this engine (F35)."""
        stamp = await stamp_of(runtime().database)
        self._stamp = self._stamp or stamp
        if stamp != self._stamp:
            raise SchemaError("The database was brought up to date for another version; restart this worker.", ())

    async def _until_next_claim(self, flush: asyncio.Task[int]) -> None:
        """Return when a server has begun all that it had, when the flush is over, or when none gets any answers."""
        started_at = monotonic()
        events = [asyncio.create_task(event.wait()) for event in (self._has_room, self._stop)]
        try:
            while monotonic() - max(started_at, self.ledger.recorded_at) < _STALLED_S:
                if (await asyncio.wait({flush, *events}, timeout=_STALLED_S, return_when=asyncio.FIRST_COMPLETED))[0]:
                    return
        finally:
            for one in events:
                one.cancel()

    async def _rest(self) -> None:
        """Wait for the bell, until something is due or given back, for the poll interval, or for the stop."""
        rest_s = settings().CRON_POLL_SECONDS
        with suppress(*database_errors()):
            rest_s = min(rest_s, await next_due_in_s() or rest_s)
        back = asyncio.create_task(self._gave_back.wait())
        try:
            await runtime().bell.wait_until(self._stop, TOPIC, rest_s, [back])
        finally:
            back.cancel()


def _each(faults: BaseExceptionGroup[Any]) -> Iterator[BaseException]:
    """Yield the errors of a group, and of the groups in it."""
    for one in faults.exceptions:
        if isinstance(one, BaseExceptionGroup):
            yield from _each(one)
        else:
            yield one


def _is_over(flush: asyncio.Task[int]) -> bool:
    """Whether a flush is done; raises what it raised."""
    if flush.done():
        flush.result()
    return flush.done()


def _are_enough(begun_at: Sequence[float]) -> bool:
    """Whether no flush may be begun beside those that are under way."""
    young_since = monotonic() - _STALLED_S
    return len(begun_at) >= _FLUSHES_AT_ONCE or sum(one > young_since for one in begun_at) >= _YOUNG_AT_ONCE


def _next_size(claimed: int, took_s: float) -> int:
    """Return how much to claim next, by how fast this claim went."""
    lanes = settings().SMTP_CONCURRENCY
    in_time = int(claimed / max(took_s, 0.001) * _CLAIM_S)
    return max(lanes * _LEAST_PER_LANE, min(in_time, lanes * _MOST_PER_LANE))


def _pace(server: Server, domains: Mapping[str, Sequence[Limit]]) -> Pace | None:
    """Return what holds this server's mail back; None where nothing does."""
    limits = limits_of(f"server:{server.key}", server.rates)
    return Pace(limits, domains) if limits or domains else None


def _choose(
    servers: Servers, author_id: int | None, company_id: int | None, email_from: str, named: str | None
) -> Server | None:
    return servers.choose(author_id, company_id, parse_address(email_from).address, named)


@asynccontextmanager
async def _let_go_on_fault(token: str) -> AsyncIterator[None]:
    """Give back at once what a failed flush leaves unbegun, where the database can be told."""
    try:
        yield
    except BaseException:
        with suppress(*database_errors()):
            await let_go(token)
        raise


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
