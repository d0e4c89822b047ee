"""How long a claim takes, however many rows wait."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from statistics import median
from time import perf_counter

from core import clock
from core.delivery.claim import claim, release
from core.runtime import get_model, runtime
from tests.benchmarks.hosts import DATABASES, hosted
from tests.benchmarks.measure import Row

_GOALS = {"sqlite": "<= 1 ms", "postgres": "<= 1.5 ms"}
_NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) SELECT {columns} FROM n"


async def benchmark(quick: bool) -> AsyncIterator[Row]:
    sizes = [1_000, 20_000] if quick else [1_000, 100_000]
    if os.environ.get("BENCH_MILLION"):
        sizes.append(1_000_000)
    for database in DATABASES:
        first_ms = None
        for size in sizes:
            async with hosted(database):
                await _fill(size)
                took_ms = await _claim_ms(10 if quick else 30)
            first_ms = first_ms or took_ms
            yield Row(f"claim 100 of {size}, {database}", took_ms, "ms", _GOALS[database], took_ms / first_ms)


async def _fill(count: int) -> None:
    """Queue as many deliveries of one message."""
    about = {"subject": "Many", "direction": "Outbound", "send_state": "Queued", "message_id": "<many@bench.test>"}
    message = await get_model("Message").create(**about)
    database = runtime().database
    due_at = database.dialect.time(clock.now().replace(microsecond=0))
    values = f"{message.pk}, 'kim@customer.test', 'to', 'queued', 10, {database.dialect.param(1)}, 0, 0, 0, '', 0"
    if database.dialect.name == "postgres":
        values = values.replace("$1", "$1::timestamptz")
    columns = (
        "message_id, recipient, kind, state, priority, due_at, attempts, open_count, click_count, bounce_kind, crashes"
    )
    await database.execute(f"INSERT INTO delivery ({columns}) {_NUMBERS.format(count=count, columns=values)}", [due_at])
    await database.script("ANALYZE delivery")


async def _claim_ms(times: int) -> float:
    taken = []
    for _ in range(times):
        started_at = perf_counter()
        token, rows = await claim(100)
        taken.append((perf_counter() - started_at) * 1000)
        assert len(rows) == 100
        await release(token, [row.id for row in rows])
    return median(taken)
