"""The one writer of an engine: whatever keeps it from writing, it loses nothing, says so, and nothing more is sent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs
from tortoise.exceptions import IntegrityError

from core.delivery import engine
from core.delivery import ledger as ledgers
from core.delivery.claim import claim
from core.delivery.engine import Engine
from core.delivery.job import Claimed
from core.delivery.ledger import Ledger
from core.delivery.results import Result
from core.mail.retry import Outcome
from core.runtime import Runtime, get_model
from tests.delivery.conftest import drain, hook, queue_mail, states
from tests.servers.fake_mta import Act, Script

pytestmark = pytest.mark.anyio


def _sent(delivery: Claimed, token: str) -> Result:
    return Result(delivery, token, Outcome.SENT, "content", 250, reply="250 taken")


async def test_a_fault_in_our_statements_is_loud_and_loses_no_result(host: Runtime) -> None:
    message = await queue_mail()
    token, (delivery,) = await claim(1)
    await host.database.script("ALTER TABLE attempt RENAME TO attempt_elsewhere")
    ledger = Ledger("worker")
    with capture_logs() as said:
        ledger.record([_sent(delivery, token)])
        async with asyncio.timeout(5):
            while not said:
                await asyncio.sleep(0.02)
    await host.database.script("ALTER TABLE attempt_elsewhere RENAME TO attempt")
    await ledger.aclose()
    assert {(one["log_level"], "cannot be stored" in one["event"]) for one in said} == {("error", True)}
    assert await states(message) == {"kim@customer.test": "sent"}


@pytest.mark.parametrize("fault", [KeyError("a fault of ours"), IntegrityError("a rule of the table")])
async def test_whatever_the_writing_stumbles_over_it_neither_ends_nor_spins(host: Runtime, fault: Exception) -> None:
    message = await queue_mail()
    token, (delivery,) = await claim(1)
    batch, calls = host.database.batch, 0

    async def stumble(statements: Any) -> Any:
        nonlocal calls
        if not any("delivery" in one.sql for one in statements):
            return await batch(statements)
        calls += 1
        raise fault

    ledger = Ledger("worker")
    with pytest.MonkeyPatch.context() as patch, capture_logs() as said:
        patch.setattr(host.database, "batch", stumble)
        ledger.record([_sent(delivery, token)])
        async with asyncio.timeout(5):
            while not said:
                await asyncio.sleep(0.02)
        assert 1 <= calls <= 3
        assert said[0]["log_level"] == "error"
        patch.setattr(host.database, "batch", batch)
        await ledger.aclose()
    assert await states(message) == {"kim@customer.test": "sent"}


async def test_an_addons_wrong_statement_is_its_mails_fault_alone(host: Runtime, mta: Any) -> None:
    async def ask_wrongly(email: Any, message: Any) -> Any:
        if message["subject"] == "bad":
            await host.database.fetch("SELECT nothing FROM message")
        return email

    hook(host, filter_outgoing_email=ask_wrongly)
    bad, good = await queue_mail(subject="bad"), await queue_mail()
    await drain()
    await bad.refresh_from_db()
    await good.refresh_from_db()
    assert good.send_state == "Sent"
    assert (bad.send_state, bad.retry_count) == ("Failed", 1)
    assert "could not be composed" in bad.error
    assert await get_model("Attempt").filter(outcome="temporary").count() == 1


async def test_a_fault_in_our_statements_that_stops_a_claim_is_loud_and_goes_by(
    host: Runtime, mta: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def wrong() -> Any:
        return await host.database.fetch("SELECT nothing FROM message")

    await queue_mail()
    stop = asyncio.Event()
    with capture_logs() as said:
        async with Engine() as worker:
            with monkeypatch.context() as patch:
                patch.setattr(engine, "load_servers", wrong)
                running = asyncio.create_task(worker.run(stop))
                async with asyncio.timeout(5):
                    while not any(one["event"] == "sending stopped for now" for one in said):
                        await asyncio.sleep(0.02)
            stop.set()
            await running
    told, *_ = [one for one in said if one["event"] == "sending stopped for now"]
    assert told["log_level"] == "error"
    assert "nothing" in told["errors"][0]


async def test_what_takes_its_time_is_shown_as_on_its_way(
    host: Runtime, mta: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledgers, "_LASTING_S", 0.01)
    mta.script = Script(steps={"dot": Act(delay_s=0.2)})
    message = await queue_mail("kim@customer.test", "jo@customer.test")
    seen = set()
    sending = asyncio.create_task(drain())
    while not sending.done():
        await asyncio.sleep(0.01)
        await message.refresh_from_db()
        seen.add(message.send_state)
    await sending
    await message.refresh_from_db()
    assert "Sending" in seen
    assert message.send_state == "Sent"
