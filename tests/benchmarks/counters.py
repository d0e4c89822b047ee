"""What never depends on the machine: statements and round trips per mail, and the memory of a long drain."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

from core.delivery.engine import Engine
from core.delivery.request import QueueRequest
from core.runtime import Runtime, get_model
from tests.benchmarks.hosts import LANES, hosted, sink
from tests.benchmarks.mails import SENDER, body_of, recipient
from tests.benchmarks.measure import Row, forget_peak, memory_mb, watch
from tests.servers.fake_mta import FakeMta

_COUNTED = 1400
"""As many as the lanes carry without a new connection, so that what a start costs counts as little as it may."""


async def counted() -> AsyncIterator[Row]:
    """Drain some mails, and count."""
    async with FakeMta(keeps_ledger=False) as mta, hosted("sqlite", **_sends_to(mta.port)) as runtime:
        await _queue(_COUNTED)
        statements = await _statements(runtime) * 500 / _COUNTED
        assert mta.messages == _COUNTED
        yield Row("SQL statements per 500 mails, sqlite", statements, "statements", "<= 500")
        yield Row("SMTP round trips per mail", mta.turns / _COUNTED, "round trips", "<= 1.1")


async def benchmark(quick: bool) -> AsyncIterator[Row]:
    async for row in counted():
        yield row
    count = 1_000_000 if os.environ.get("BENCH_MILLION") else 2_000 if quick else 20_000
    for database in ("sqlite", "postgres"):
        with sink() as port:
            async with hosted(database, **_sends_to(port)):
                for _ in range(count // 1000):
                    await _queue(1000)
                before_mb = memory_mb()
                forget_peak()
                with watch() as taken:
                    await _drain()
                peak_mb = memory_mb("VmHWM")
        name = f"memory of draining {count}, {database}"
        yield Row(name, peak_mb, "MB at most", "<= 128")
        yield Row(name, peak_mb - before_mb, "MB more", "<= 15")
        yield Row(f"draining {count}, {database}", taken.per_s(count), "mails/s", ">= 8000/s")


def _sends_to(port: int) -> dict[str, object]:
    return {"SMTP_SERVER": "127.0.0.1", "SMTP_PORT": port, "SMTP_TLS": "none", "SMTP_CONCURRENCY": LANES}


async def _queue(count: int) -> None:
    html, text = body_of(2_000)
    await get_model("Message").queue_many(
        QueueRequest(author=None, to=(recipient(number),), subject="Café", body=html, text=text, from_email=SENDER)
        for number in range(count)
    )


async def _drain() -> None:
    async with Engine() as engine:
        await engine.drain()


async def _statements(runtime: Runtime) -> int:
    """Drain, and count what SQLite is asked; the rows of one executemany are one statement."""
    asked: list[str] = []

    def note(sql: str) -> None:
        kind = sql.strip()[:40]
        if not asked or asked[-1] != kind:
            asked.append(kind)

    connection = runtime.database.client._connection
    await connection.set_trace_callback(note)
    await _drain()
    await connection.set_trace_callback(None)
    return len(asked)
