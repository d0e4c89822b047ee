"""What workers and watchers ask all the time is found by small indexes, however many mails were ever sent."""

from __future__ import annotations

import pytest

from core.delivery.claim import claim, extend, is_due, let_go, next_due_in_s, release, still_claimed, sweep
from core.runtime import Runtime, get_model
from core.web.metrics import Metrics, Requests
from tests.databases import sqlite_alone as database_url
from tests.delivery.conftest import drain, queue_mail, states
from tests.servers.fake_mta import FakeMta

__all__ = ["database_url"]
pytestmark = pytest.mark.anyio


async def test_no_question_of_a_worker_reads_all_deliveries(host: Runtime, mta: FakeMta) -> None:
    connection = host.database.client._connection
    asked: list[str] = []
    await queue_mail("kim@b.test", "ada@b.test")
    await connection.set_trace_callback(asked.append)
    token, rows = await claim(10)
    await extend(token)
    assert await still_claimed(token) == {row.id for row in rows}
    await release(token, [rows[0].id])
    await let_go(token)
    await sweep()
    assert await is_due()
    await next_due_in_s()
    for _ in range(4):
        await queue_mail("kim@b.test")
        await drain()
    await Metrics(Requests()).text()
    await connection.set_trace_callback(None)
    partial = await host.database.fetch(
        "SELECT name FROM sqlite_master WHERE tbl_name = 'delivery' AND sql LIKE '%WHERE%'"
    )
    small = tuple(f"INDEX {row['name']}" for row in partial)
    questions = [sql for sql in asked if "delivery" in sql and sql.lstrip().startswith(("SELECT", "UPDATE", "DELETE"))]
    assert len(questions) > 20
    for sql in questions:
        for step in await host.database.fetch(f"EXPLAIN QUERY PLAN {sql}"):
            detail = step["detail"]
            assert not detail.startswith("SCAN delivery") or detail.endswith(small), (sql, detail)


async def test_what_is_stopped_in_a_workers_hands_is_leased_no_more(host: Runtime, mta: FakeMta) -> None:
    message = await queue_mail("kim@b.test")
    token, _ = await claim(10)
    await message.hold()
    assert await states(message) == {"kim@b.test": "held"}
    assert not await get_model("Delivery").exclude(lease_until=None).exists()
    assert await still_claimed(token) == set()
    await message.release()
    await drain()
    assert [one.recipient for one in mta.ledger] == ["kim@b.test"]
