"""F14, F15 and F17: the answer to the final dot is lost, late or nonsense. Nobody can know, and Postroom says so."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from core.runtime import Runtime
from core.transport.smtp_account import Timeouts
from tests.faults.oracle import require
from tests.faults.rig import drain, finish, outcomes, queue, queue_some, states, use
from tests.servers.fake_mta import Act, FakeMta, Script

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("on_unknown", ["retry", "hold"])
@pytest.mark.parametrize("over", [Act(drop=True), Act(reset=True)], ids=["closed", "reset"])
async def test_f14_dropped_after_the_dot(host: Runtime, over: Act, on_unknown: str) -> None:
    """The server took it and never said so. A second copy has the same Message-ID, so that readers can drop it."""
    async with FakeMta(Script(steps={"dot": (over, None)})) as mta:
        await use(mta)
        message = await queue()
        await _set_policy(message, on_unknown)
        await drain()
        assert await outcomes() == ["unknown"]
        await message.refresh_from_db()
        if on_unknown == "hold":
            assert message.send_state == "Unknown"
            await finish(2)
            await require(mta.ledger, states={"unknown": 1})
            # A person looked, and decides.
            await message.action_retry()
        await finish(1)
        verdict = await require(mta.ledger, repeats=1)
        assert verdict.repeats == 1
        assert {one.message_id for one in mta.ledger} == {message.message_id}


async def test_f14_only_what_was_in_flight_is_in_doubt(host: Runtime) -> None:
    """One lost answer among many mails on the same connection: one event, one repeat."""
    async with FakeMta(Script(steps={"dot": (*[None] * 10, Act(drop=True), None)})) as mta:
        await use(mta)
        await queue_some(40)
        await drain()
        await finish(2)
        assert (await outcomes()).count("unknown") == 1
        await require(mta.ledger, repeats=1)


async def test_f15_late_answer_on_a_live_connection(host: Runtime) -> None:
    """An answer within the deadline counts, however late; the deadline is ten minutes unless a test is in a hurry."""
    assert Timeouts().answer_s == 600
    async with FakeMta(Script(steps={"dot": (Act(delay_s=0.4), None)})) as mta:
        await use(mta)
        await queue()
        await drain()
        assert await outcomes() == ["sent"]
        await require(mta.ledger)


@pytest.mark.usefixtures("hasty")
async def test_f15_answer_after_the_deadline(host: Runtime) -> None:
    """Past the deadline the link is closed and the answer, which comes, is nobody's: in doubt, as F14."""
    async with FakeMta(Script(steps={"dot": (Act(delay_s=0.8), None)})) as mta:
        await use(mta)
        await queue()
        await drain()
        assert await outcomes() == ["unknown"]
        await asyncio.sleep(0.05)
        await finish(1)
        await require(mta.ledger, repeats=1)


NONSENSE = {
    "garbage": b"\xde\xad\xbe\xef\r\n",
    "NUL": b"250 2.0.0 ta\0ken\r\n",
    "1 MB": b"250 " + b"x" * 1_000_000 + b"\r\n",
    "999": b"999 what?\r\n",
    "250 with 5.7.1": b"250 5.7.1 refused for policy reasons\r\n",
    "354": b"354 go on\r\n",
    "never ends": b"250-2.0.0 and\r\n" * 5000,
}


BEFORE_DOT = [(step, one) for step in ("mail", "rcpt", "data") for one in NONSENSE if (step, one) != ("data", "354")]


@pytest.mark.parametrize(("step", "nonsense"), BEFORE_DOT)
async def test_f17_nonsense_before_the_dot(host: Runtime, step: str, nonsense: str) -> None:
    """Nothing was sent, so it is tried again: the link is closed, and no retry is burnt."""
    async with FakeMta(Script(steps={step: (Act(raw=NONSENSE[nonsense], drop=True), None)})) as mta:
        await use(mta)
        message = await queue()
        await drain()
        await message.refresh_from_db()
        assert message.retry_count == 0
        await finish(1)
        await require(mta.ledger)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("nonsense", NONSENSE)
async def test_f17_nonsense_after_the_dot(host: Runtime, nonsense: str) -> None:
    """It may mean anything: in doubt."""
    async with FakeMta(Script(steps={"dot": (Act(raw=NONSENSE[nonsense]), None)})) as mta:
        await use(mta)
        await queue()
        await drain()
        assert await outcomes() == ["unknown"]
        assert await states() == {"kim@b.test": "queued"}
        await finish(1)
        await require(mta.ledger, repeats=1)


async def _set_policy(message: Any, on_unknown: str) -> None:
    message.on_unknown = on_unknown
    await message.save(update_fields=["on_unknown"])
