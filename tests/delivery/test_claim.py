"""What workers ask all the time is found by small indexes, however many mails were ever sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from core.delivery.claim import claim, extend, is_due, let_go, next_due_in_s, release, still_claimed, sweep
from core.runtime import Runtime
from tests.databases import sqlite_alone as database_url
from tests.delivery.conftest import queue_mail

__all__ = ["database_url"]
pytestmark = pytest.mark.anyio


async def test_no_question_of_a_worker_reads_all_deliveries(host: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, Sequence[Any]]] = []
    fetch, execute = host.database.fetch, host.database.execute

    async def fetching(sql: str, params: Sequence[Any] = ()) -> list[dict[str, Any]]:
        asked.append((sql, params))
        return await fetch(sql, params)

    async def executing(sql: str, params: Sequence[Any] = ()) -> int:
        asked.append((sql, params))
        return await execute(sql, params)

    await queue_mail("kim@b.test", "ada@b.test")
    monkeypatch.setattr(host.database, "fetch", fetching)
    monkeypatch.setattr(host.database, "execute", executing)
    token, rows = await claim(10)
    await extend(token)
    assert await still_claimed(token) == {row.id for row in rows}
    await release(token, [rows[0].id])
    await let_go(token)
    await claim(10, oldest_first=True)
    await sweep()
    assert not await is_due()
    await next_due_in_s()
    assert len(asked) > 9
    for sql, params in asked:
        plan = [row["detail"] for row in await fetch(f"EXPLAIN QUERY PLAN {sql}", params)]
        assert not [step for step in plan if step.startswith("SCAN delivery") and "INDEX" not in step], (sql, plan)
