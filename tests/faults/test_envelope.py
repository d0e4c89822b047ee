"""F6 to F13, F16 to F18: what a server says to an envelope or a content, and what becomes of each recipient."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any

import pytest

from core.runtime import Runtime, get_model
from tests.faults.oracle import require
from tests.faults.rig import (
    drain,
    finish,
    hook,
    outcomes,
    queue,
    queue_some,
    sending,
    states,
    until,
    use,
)
from tests.servers.fake_mta import EXTENSIONS, Act, FakeMta, Script

pytestmark = pytest.mark.anyio

WALKING = tuple(one for one in EXTENSIONS if one != "PIPELINING")
"""A server without PIPELINING is asked step by step."""
BIG = "<p>" + "0123456789 " * 20_000 + "</p>"


@pytest.fixture(params=["pipelined", "step by step"])
def extensions(request: pytest.FixtureRequest) -> tuple[str, ...]:
    return EXTENSIONS if request.param == "pipelined" else WALKING


MAIL_REPLIES = {
    "450 4.7.1 not now": "queued",
    "451 4.3.0 local error": "queued",
    "550 5.7.1 not from you": "failed",
    "552 5.3.4 message too big": "failed",
}


@pytest.mark.parametrize("reply", MAIL_REPLIES)
async def test_f06_mail_refused(host: Runtime, reply: str, extensions: tuple[str, ...]) -> None:
    async with FakeMta(Script(steps={"mail": (Act(reply=reply), None)}, extensions=extensions)) as mta:
        await use(mta)
        message = await queue("first@b.test")
        await drain()
        await queue("second@b.test")
        await drain()
        assert await states() == {"first@b.test": MAIL_REPLIES[reply], "second@b.test": "sent"}
        await message.refresh_from_db()
        assert reply in message.error
        assert message.retry_count == (MAIL_REPLIES[reply] == "queued")
        await finish(1)
        ended = "sent" if MAIL_REPLIES[reply] == "queued" else "failed"
        assert (await states())["first@b.test"] == ended
        await require(mta.ledger, states={"sent": 2} if ended == "sent" else {"failed": 1, "sent": 1})


async def test_f06_size_is_said_before_anything_is_sent(host: Runtime) -> None:
    """The server's EHLO says how much it takes; the mail fails with its own size and the server's limit."""
    async with FakeMta(Script(extensions=("PIPELINING", "SIZE 1000"))) as mta:
        await use(mta)
        message = await queue("big@b.test", body=BIG)
        await queue("small@b.test", body="")
        await drain()
        await message.refresh_from_db()
        assert message.send_state == "Failed"
        assert f"The message has {len(await message.eml())} bytes; 127.0.0.1 takes 1000" in message.error
        assert (await states())["big@b.test"] == "failed"


async def test_f07_mixed_recipients(host: Runtime, extensions: tuple[str, ...]) -> None:
    recipients = {
        "later@b.test": (Act(reply="450 4.2.0 mailbox busy"), None),
        "gone@b.test": Act(reply="550 5.1.1 no such user"),
    }
    async with FakeMta(Script(recipients=recipients, extensions=extensions)) as mta:
        await use(mta)
        message = await queue("ok@b.test", "later@b.test", "gone@b.test")
        await drain()
        assert await states() == {"ok@b.test": "sent", "later@b.test": "queued", "gone@b.test": "failed"}
        assert [one.recipient for one in mta.ledger] == ["ok@b.test"]
        await finish()
        assert [one.recipient for one in mta.ledger] == ["ok@b.test", "later@b.test"]
        rows = await get_model("Attempt").filter(delivery__message_id=message.pk).prefetch_related("delivery")
        assert {row.delivery.recipient: row.reply for row in rows if row.outcome != "sent"} == {
            "later@b.test": "450 4.2.0 mailbox busy",
            "gone@b.test": "550 5.1.1 no such user",
        }
        await require(mta.ledger, states={"sent": 2, "failed": 1})


@pytest.mark.parametrize(("reply", "follows"), [("451 4.3.0 not now", "queued"), ("554 5.7.1 no", "failed")])
async def test_f08_data_refused(host: Runtime, reply: str, follows: str, extensions: tuple[str, ...]) -> None:
    async with FakeMta(Script(steps={"data": (Act(reply=reply), None)}, extensions=extensions)) as mta:
        await use(mta)
        await queue("first@b.test", "second@b.test")
        await drain()
        assert await states() == {"first@b.test": follows, "second@b.test": follows}
        assert not mta.ledger
        await finish(1)
        ended = "sent" if follows == "queued" else "failed"
        await require(mta.ledger, states={ended: 2})


async def test_f08_abort_in_mid_content(host: Runtime) -> None:
    """A refusal before the dot: no part of the mail counts as sent, and the next mail is not taken along."""
    async with FakeMta(Script(steps={"block": (Act(reply="550 5.6.0 stop", drop=True), None)})) as mta:
        await use(mta)
        await queue("first@b.test", body=BIG * 8)
        await queue("second@b.test")
        await drain()
        assert (await states())["first@b.test"] in ("failed", "queued")
        assert {one.recipient for one in mta.ledger} <= {"second@b.test"}
        await finish()
        verdict = await require(mta.ledger, states={**await _counted()})
        assert verdict.states["sent"] >= 1


DOT_REPLIES = {"451 4.3.0 queue full": "queued", "552 5.2.2 over quota": "failed", "554 5.7.1 spam": "failed"}


@pytest.mark.parametrize("reply", DOT_REPLIES)
async def test_f09_content_refused(host: Runtime, reply: str) -> None:
    async with FakeMta(Script(steps={"dot": (Act(reply=reply), None)})) as mta:
        await use(mta)
        message = await queue("first@b.test", "second@b.test")
        await drain()
        assert set((await states()).values()) == {DOT_REPLIES[reply]}
        await message.refresh_from_db()
        assert reply in message.error
        await finish(1)
        await require(mta.ledger, states={"sent" if DOT_REPLIES[reply] == "queued" else "failed": 2})


async def test_f10_greylisting(host: Runtime) -> None:
    """Five minutes of 450: the next try is due then, not before, and carries the same bytes."""
    grey = Act(reply="450 4.2.0 greylisted, come back in 300 s")
    async with FakeMta(Script(recipients={"kim@b.test": (grey, None)})) as mta:
        await use(mta)
        message = await queue()
        before = await message.eml()
        await drain()
        await drain()
        assert await outcomes() == ["temporary"]
        await message.refresh_from_db()
        assert 290 < (message.next_retry_at - message.created_at).total_seconds() < 320
        await finish(1)
        assert [one.raw for one in mta.ledger] == [before]
        await require(mta.ledger)


async def test_f11_refused_for_ever(host: Runtime) -> None:
    """Ends after the last retry, with the server's last words and one event, and stays ended."""
    told = []

    def message_failed(message: Any, error: str) -> None:
        told.append(error)

    hook(host, message_failed=message_failed)
    async with FakeMta(Script(recipients={"kim@b.test": Act(reply="450 4.2.0 still busy")})) as mta:
        await use(mta)
        message = await queue()
        await finish(6)
        await message.refresh_from_db()
        assert (message.send_state, message.next_retry_at) == ("Failed", None)
        assert "450 4.2.0 still busy" in message.error
        assert len(await outcomes()) == message.retry_count == host.settings.MAX_RETRIES
        assert len(told) == 1
        await require(mta.ledger, states={"failed": 1})


@pytest.mark.parametrize("end", ["421 after 20 mails", "link closed after 30 mails", "reset after 30 mails"])
async def test_f12_connections_wear_out(host: Runtime, end: str) -> None:
    if end.startswith("421"):
        script = Script(messages_per_connection=20)
    else:
        over = Act(drop=True) if "closed" in end else Act(reset=True)
        script = Script(steps={"mail": (*[None] * 30, over, *[None] * 30, over)})
    async with FakeMta(script) as mta:
        await use(mta)
        messages = await queue_some(100)
        await drain()
        for message in messages:
            await message.refresh_from_db()
            assert message.retry_count == 0, "a worn connection burns no retry"
        await finish(2)
        assert {one.recipient for one in mta.ledger} == {f"kim{number}@b.test" for number in range(100)}
        assert mta.connections > 2
        await require(mta.ledger)


@pytest.mark.parametrize("how", ["drop", "reset"])
@pytest.mark.parametrize("step", ["connect", "ehlo", "mail", "rcpt", "data", "block"])
async def test_f13_dropped_before_the_dot(host: Runtime, step: str, how: str) -> None:
    over = Act(drop=how == "drop", reset=how == "reset")
    async with FakeMta(Script(steps={step: (over, None)})) as mta:
        await use(mta)
        message = await queue(body=BIG * 8 if step == "block" else "<p>Hello</p>")
        await drain()
        await message.refresh_from_db()
        assert message.retry_count == 0
        assert "sent" in await outcomes() or not mta.ledger
        await finish(1)
        await require(mta.ledger)


@pytest.mark.parametrize("quit_act", [Act(reset=True), Act(silent=True), Act(raw=b"\0\xff\r\n"), Act(drop=True)])
async def test_f16_bad_manners_at_the_end(host: Runtime, quit_act: Act) -> None:
    """What happens to the connection after 250 changes nothing: sent is sent."""
    async with FakeMta(Script(steps={"quit": quit_act})) as mta:
        await use(mta)
        await queue_some(3)
        await drain()
        await require(mta.ledger)


async def test_f16_accepted_then_reset(host: Runtime) -> None:
    async with FakeMta(Script(steps={"dot": (Act(reply="250 2.0.0 taken", reset=True), None)})) as mta:
        await use(mta)
        await queue()
        await drain()
        # The kernel may throw the answer away with the connection; then it is in doubt, and the policy tries again.
        doubted = await outcomes() == ["unknown"]
        await finish(1)
        await require(mta.ledger, repeats=int(doubted))


@pytest.mark.usefixtures("hasty")
async def test_f18_a_reader_that_takes_a_byte_at_a_time(host: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """The content's deadline goes by progress; the mail of other servers goes on meanwhile."""
    async with FakeMta(Script(read_bytes_per_s=5)) as slow, FakeMta(Script()) as well:
        await use(slow, from_domains=["acme.test"])
        await use(well, from_domains=["well.test"])
        message = await queue("slow@b.test", body=BIG * 40)
        async with sending():
            started_at = monotonic()
            await asyncio.sleep(0.05)
            for number in range(10):
                await queue(f"other{number}@b.test", from_email="office@well.test")
            await until(lambda: len(well.ledger) == 10, "the other server's mail")
            assert monotonic() - started_at < 15
            await until(lambda: get_model("Attempt").exists(delivery__message_id=message.pk), "the end of the slow try")
        (attempt,) = await get_model("Attempt").filter(delivery__message_id=message.pk)
        assert (attempt.outcome, attempt.phase) == ("server", "data")
        assert "less than a block of content" in attempt.reply
        slow.script = Script()
        # A busy machine may take longer to read nine megabytes than those deadlines allow for the answer.
        monkeypatch.undo()
        await finish(1)
        await require([*slow.ledger, *well.ledger])


async def _counted() -> dict[str, int]:
    found = list((await states()).values())
    return {state: found.count(state) for state in set(found)}
