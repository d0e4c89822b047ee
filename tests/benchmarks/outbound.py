"""From the queue to the server's answer, beside clients that have nothing but ready bytes to send."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from statistics import median
from typing import Any

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
_ROUNDS = 5
"""The middle one of so many drains, each with the bare client after it: what else a machine does comes and goes."""
_GOALS = {"2 kB": ">= 12000/s per core", "50 kB": ">= 2000/s per core"}


async def benchmark(quick: bool) -> AsyncIterator[Row]:
    rounds = 1 if quick else _ROUNDS
    for size, body in _BODIES.items():
        count = (100 if quick else 400) if size == "50 kB" else (500 if quick else 2000)
        with sink() as port:
            for database in DATABASES:
                pairs = []
                for _ in range(rounds):
                    content, drained = await _drained(database, port, body, count)
                    wire = await _wire(port, content, count * 4)
                    pairs.append((drained.cpu_us(count), wire.cpu_us(count * 4), drained.per_s(count)))
                library = await _library(port, content, count)
                used, bare, rate = (median(figures) for figures in zip(*pairs, strict=True))
                ratio = median(drained / bare for drained, bare, _ in pairs)
                yield Row(f"bare client beside {database}, {size}", bare, "CPU us/mail")
                yield Row(f"aiosmtplib sendmail beside {database}, {size}", library.cpu_us(count), "CPU us/mail")
                yield Row(f"drain {database}, {size}", rate, "mails/s")
                yield Row(f"drain {database}, {size}", 1e6 / used, "mails/s per core", _GOALS.get(size, ""))
                yield Row(f"drain {database}, {size}", used, "CPU us/mail", "<= 8 x bare client", ratio)
                yield Row(f"drain {database} / aiosmtplib, {size}", used / library.cpu_us(count), "x", "", None)


async def _drained(database: str, port: int, body: Body, count: int) -> tuple[bytes, Watch]:
    """Queue mails and drain them; return the last one's bytes and the drain's time."""
    settings = {"SMTP_SERVER": "127.0.0.1", "SMTP_PORT": port, "SMTP_TLS": "none", "SMTP_CONCURRENCY": LANES}
    async with hosted(database, **settings), Engine() as engine:
        # A worker has its connections open, as the bare client has.
        await _queued(body, range(LANES * 2))
        await engine.drain()
        queued = await _queued(body, range(LANES * 2, LANES * 2 + count))
        content = await queued.eml()
        with watch() as drained:
            await engine.drain()
        sent = await get_model("Message").filter(send_state="Sent").count() - LANES * 2
        assert sent == count, f"{sent} of {count} mails were sent"
        return content, drained


async def _queued(body: Body, numbers: range) -> Any:
    """Queue mails in one transaction, and return the last one's message."""
    async with transaction():
        for number in numbers:
            html, text = body.of(number)
            queued = await get_model("Message").queue_email(
                None, [recipient(number)], "Café", html, text=text or None, from_email=SENDER
            )
    return queued


async def _wire(port: int, content: bytes, count: int) -> Watch:
    """Send ready bytes by our own pipelined protocol alone."""
    account = SmtpAccount(host="127.0.0.1", port=port, tls=Tls.NONE)
    envelopes = deque(Envelope("office@acme.test", (recipient(number),), len(content)) for number in range(count))
    sessions = [await open_session(account) for _ in range(LANES)]
    with watch() as taken:
        await asyncio.gather(*(_lane(session, envelopes, content) for session in sessions))
    for session in sessions:
        await session.quit()
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
