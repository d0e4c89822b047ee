"""From the queue to the server's answer, beside clients that have nothing but ready bytes to send."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from statistics import median
from typing import NamedTuple

import aiosmtplib

from core.delivery.engine import Engine
from core.orm.transaction import transaction
from core.runtime import get_model
from core.transport.smtp import Envelope, SmtpAccount, SmtpSession, Tls, open_session
from tests.benchmarks.hosts import DATABASES, LANES, hosted, sink
from tests.benchmarks.mails import SENDER, Body, body_of, html_of, recipient
from tests.benchmarks.measure import Row, Watch, watch

_BODIES = {
    "2 kB": body_of(2_000),
    "50 kB": body_of(50_000),
    "2 kB, text made from HTML": Body(html_of(2_000), ""),
}
_ROUNDS = 15
"""The middle one of so many drains, each between two runs of the bare client: what a machine does comes and goes."""
_GOALS = {"2 kB": ">= 12000/s per core", "50 kB": ">= 2000/s per core"}


class _Drained(NamedTuple):
    """What a drain came to beside the bare client, per mail."""

    used_us: float
    bare_us: float
    per_s: float


async def benchmark(quick: bool) -> AsyncIterator[Row]:
    rounds = 1 if quick else _ROUNDS
    for size, body in _BODIES.items():
        count = 100 if size == "50 kB" else 500
        with sink() as port:
            for database in DATABASES:
                content, drains = await _drained(database, port, body, count, rounds)
                library = await _library(port, content, count * 4)
                used, bare, rate = (median(figures) for figures in zip(*drains, strict=True))
                ratio = median(one.used_us / one.bare_us for one in drains)
                library_us = library.cpu_us(count * 4)
                yield Row(f"bare client beside {database}, {size}", bare, "CPU us/mail")
                yield Row(f"aiosmtplib sendmail beside {database}, {size}", library_us, "CPU us/mail")
                yield Row(f"drain {database}, {size}", rate, "mails/s")
                yield Row(f"drain {database}, {size}", 1e6 / used, "mails/s per core", _GOALS.get(size, ""))
                goal = "<= 8 x bare client" if size in _GOALS else ""
                yield Row(f"drain {database}, {size}", used, "CPU us/mail", goal, ratio)
                yield Row(f"drain {database} / aiosmtplib, {size}", used / library_us, "x", "", None)


async def _drained(database: str, port: int, body: Body, count: int, rounds: int) -> tuple[bytes, list[_Drained]]:
    """Queue mails and drain them, a few times; return the last one's bytes and what each drain took."""
    settings = {"SMTP_SERVER": "127.0.0.1", "SMTP_PORT": port, "SMTP_TLS": "none", "SMTP_CONCURRENCY": LANES}
    drains = []
    async with hosted(database, **settings), Engine() as engine, _sessions(port) as sessions:
        # A worker has its connections open, as the bare client has.
        content = await _queued(body, range(LANES * 2))
        await engine.drain()
        before = await _wire(sessions, content, count * 4)
        for at in range(rounds):
            content = await _queued(body, range(at * count, at * count + count))
            with watch() as drained:
                await engine.drain()
            after = await _wire(sessions, content, count * 4)
            bare_us = (before.cpu_us(count * 4) + after.cpu_us(count * 4)) / 2
            drains.append(_Drained(drained.cpu_us(count), bare_us, drained.per_s(count)))
            before = after
        left = await get_model("Message").exclude(send_state="Sent").count()
        assert not left, f"{left} mails were not sent"
        return content, drains


async def _queued(body: Body, numbers: range) -> bytes:
    """Queue mails in one transaction, and return the bytes of the last one."""
    async with transaction():
        for number in numbers:
            html, text = body.of(number)
            queued = await get_model("Message").queue_email(
                None, [recipient(number)], "Café", html, text=text or None, from_email=SENDER
            )
    content: bytes = await queued.eml()
    return content


@asynccontextmanager
async def _sessions(port: int) -> AsyncIterator[list[SmtpSession]]:
    account = SmtpAccount(host="127.0.0.1", port=port, tls=Tls.NONE)
    sessions = [await open_session(account) for _ in range(LANES)]
    yield sessions
    for session in sessions:
        await session.quit()


async def _wire(sessions: Iterable[SmtpSession], content: bytes, count: int) -> Watch:
    """Send ready bytes by our own pipelined protocol alone."""
    envelopes = deque(Envelope("office@acme.test", (recipient(number),), len(content)) for number in range(count))
    with watch() as taken:
        await asyncio.gather(*(_lane(session, envelopes, content) for session in sessions))
    return taken


async def _lane(session: SmtpSession, envelopes: deque[Envelope], content: bytes) -> None:
    current = envelopes.popleft() if envelopes else None
    if current is None:
        return
    await session.begin(current)
    while True:
        following = envelopes.popleft() if envelopes else None
        await session.content(content, following)
        if following is None:
            return
        await session.begun()


async def _library(port: int, content: bytes, count: int) -> Watch:
    """Send the same bytes by aiosmtplib, over as many connections."""
    numbers = iter(range(count))

    async def lane(client: aiosmtplib.SMTP) -> None:
        for number in numbers:
            await client.sendmail("office@acme.test", [recipient(number)], content)

    clients = [aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False) for _ in range(LANES)]
    for client in clients:
        await client.connect()
    with watch() as taken:
        await asyncio.gather(*map(lane, clients))
    for client in clients:
        await client.quit()
    return taken
