"""Live streams: what 500 idle ones hold and take, and what three busy ones cost a drain of the queue."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from statistics import median
from time import process_time

from core.access import access_of
from core.delivery.engine import Engine
from core.orm.transaction import transaction
from core.runtime import get_model
from tests.benchmarks.clients import client, served_at
from tests.benchmarks.hosts import DATABASES, LANES, hosted, sink
from tests.benchmarks.mails import SENDER, body_of, recipient
from tests.benchmarks.measure import Row, memory_mb, watch

_IDLE = 500
_WATCHING = 3
_PAIRS = 5


async def benchmark(quick: bool) -> AsyncIterator[Row]:
    for database in DATABASES:
        async for row in _idle(database, 50 if quick else _IDLE, 2.0 if quick else 20.0):
            yield row
        yield await _drain(database, 200 if quick else 2000)


async def _idle(database: str, count: int, seconds: float) -> AsyncIterator[Row]:
    async with hosted(database, LIVE_STREAMS_PER_USER=count), served_at() as port:
        token = await _token()
        async with _clients(port, token, 5):
            pass
        before_mb = _settled_mb()
        async with _clients(port, token, count):
            began = process_time()
            await asyncio.sleep(seconds)
            cpu = (process_time() - began) / seconds
            held_kb = (_settled_mb() - before_mb) * 1024 / count
            yield Row(f"memory of an idle stream, {count}, {database}", held_kb, "kB", "<= 100")
            yield Row(f"CPU of {count} idle streams, {database}", cpu * 100, "% of a core", "<= 5")


async def _drain(database: str, count: int) -> Row:
    """Drain a queue with watchers and without, in turn, in the process that serves them."""
    with sink() as port:
        settings = {"SMTP_SERVER": "127.0.0.1", "SMTP_PORT": port, "SMTP_TLS": "none", "SMTP_CONCURRENCY": LANES}
        async with hosted(database, **settings), served_at() as web:
            token = await _token()
            await _drained(count // 4)
            pairs = []
            for _ in range(_PAIRS):
                alone = await _drained(count)
                async with _clients(web, token, _WATCHING):
                    pairs.append((await _drained(count)) / alone)
    return Row(f"drain with {_WATCHING} watchers, {database}", median(pairs), "x without", "<= 1.05", median(pairs))


async def _drained(count: int) -> float:
    message, body = get_model("Message"), body_of(2_000)
    async with transaction():
        for number in range(count):
            html, text = body.of(number)
            await message.queue_email(None, [recipient(number)], "Café", html, text=text, from_email=SENDER)
    await asyncio.sleep(0.5)
    gc.collect()
    with watch() as taken:
        async with Engine() as engine:
            await engine.drain()
    return taken.cpu_us(count)


def _settled_mb() -> float:
    gc.collect()
    return memory_mb()


async def _token() -> str:
    user = await get_model("User").create(login="root", name="Root", is_admin=True)
    assert (await access_of(user)).is_internal
    _, text = await get_model("ApiToken").issue(user, "bench", ["read"])
    return str(text)


@asynccontextmanager
async def _clients(port: int, token: str, count: int) -> AsyncIterator[None]:
    """Within the block a process of their own holds so many streams, all of them under way."""
    watchers = await client("watchers", port, token, count)
    assert watchers.stdout is not None
    assert watchers.stdin is not None
    assert await watchers.stdout.readline() == b"ready\n"
    try:
        yield
    finally:
        watchers.stdin.close()
        await watchers.wait()
        await asyncio.sleep(0.2)
