"""A worker's engine and a server that is 30 ms away, over 30 connections: what the round trips cost."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

from core.delivery.engine import Engine
from core.delivery.request import QueueRequest
from core.runtime import get_model
from tests.benchmarks.hosts import DATABASES, hosted, sink
from tests.benchmarks.mails import SENDER, body_of, recipient
from tests.benchmarks.measure import Row, move_away, watch

_ROUND_TRIP_MS = 30
_CONNECTIONS = 30


async def benchmark(quick: bool) -> AsyncIterator[Row]:
    count = 500 if quick else 6000
    html, text = body_of(2_000)
    for database in DATABASES:
        with sink() as port, _far_away(port) as far_port:
            settings = {"SMTP_SERVER": "127.0.0.1", "SMTP_PORT": far_port, "SMTP_TLS": "none"}
            async with hosted(database, SMTP_CONCURRENCY=_CONNECTIONS, **settings):
                await get_model("Message").queue_many(
                    QueueRequest(
                        author=None, to=(recipient(one),), subject="Café", body=html, text=text, from_email=SENDER
                    )
                    for one in range(count)
                )
                with watch() as taken:
                    await _send(count)
        most = _CONNECTIONS * 1000 / _ROUND_TRIP_MS
        yield Row(f"30 ms away, {database}", taken.per_s(count), "mails/s", ">= 900/s", taken.per_s(count) / most)


async def _send(count: int) -> None:
    """Let a worker's engine run until so many mails are sent."""
    stop = asyncio.Event()
    async with Engine() as engine, asyncio.timeout(300):
        running = asyncio.create_task(engine.run(stop))
        while await get_model("Delivery").filter(state="sent").count() < count:
            await asyncio.sleep(0.05)
        stop.set()
        await running


@contextmanager
def _far_away(port: int) -> Iterator[int]:
    command = [sys.executable, "-m", "tests.servers.slow_link", str(port), str(_ROUND_TRIP_MS / 2)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).resolve().parents[2]) as process:
        assert process.stdout is not None
        move_away(process.pid)
        try:
            yield json.loads(process.stdout.readline())["port"]
        finally:
            process.terminate()
