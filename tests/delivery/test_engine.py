"""The delivery engine against a server that misbehaves, on both databases: contract C1 to C6 (DELIVERY.md)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from core import clock
from core.delivery.engine import Engine
from core.delivery.request import QueueRequest
from core.delivery.state import queue_stats
from core.errors import AddressError, UserError
from core.mail.parse import parse
from core.orm.transaction import transaction
from core.runtime import Runtime, get_model
from tests.servers.fake_mta import Act, FakeMta, Script

pytestmark = pytest.mark.anyio

SENDER = "Postroom <office@acme.test>"


@pytest.fixture
def settings() -> dict[str, object]:
    return {
        "SMTP_SERVER": "127.0.0.1",
        "SMTP_PORT": 1,
        "SMTP_CONCURRENCY": 4,
        "MAIL_DOMAIN": "acme.test",
        "MAIL_MODE": "live",
    }


@pytest.fixture
async def mta(host: Runtime) -> AsyncIterator[FakeMta]:
    async with _sends_to(host, Script()) as server:
        yield server


class _sends_to:  # noqa: N801 - reads as a phrase
    """Start a scripted server and make it the host's only outgoing server."""

    def __init__(self, host: Runtime, script: Script):
        self.server = FakeMta(script)

    async def __aenter__(self) -> FakeMta:
        await self.server.__aenter__()
        await get_model("OutgoingMailServer").all().delete()
        await get_model("OutgoingMailServer").create(
            name="fake", server="127.0.0.1", port=self.server.port, use_ssl=False
        )
        return self.server

    async def __aexit__(self, *exc: Any) -> None:
        await self.server.__aexit__(*exc)


async def _queue(*to: str, **options: Any) -> Any:
    recipients = to or ("kim@customer.test",)
    keywords = {"from_email": SENDER, "subject": "Invoice", "body": "<p>Hello Kim</p>", **options}
    return await get_model("Message").queue_email(
        None, recipients, keywords.pop("subject"), keywords.pop("body"), **keywords
    )


async def _drain() -> None:
    async with Engine() as engine:
        await engine.drain()


async def _states(message: Any) -> dict[str, str]:
    rows = await get_model("Delivery").filter(message_id=message.pk).values("recipient", "state")
    return {row["recipient"]: row["state"] for row in rows}


async def _let_wait_pass() -> None:
    await get_model("Delivery").filter(state="queued").update(due_at=clock.now() - timedelta(seconds=1))
    await get_model("ServerPause").all().delete()


async def test_a_queued_mail_is_sent_once(host: Runtime, mta: FakeMta) -> None:
    message = await _queue()
    await _drain()
    await message.refresh_from_db()
    assert (message.send_state, message.retry_count, message.error) == ("Sent", 0, "")
    assert message.sent_at is not None
    (accepted,) = mta.ledger
    mail = parse(accepted.raw)
    assert (mail.message_id, mail.subject, mail.text) == (message.message_id, "Invoice", "Hello Kim")
    (attempt,) = await get_model("Attempt").all()
    assert (attempt.outcome, attempt.phase, attempt.code) == ("sent", "content", 250)


async def test_what_is_rolled_back_is_not_sent(host: Runtime, mta: FakeMta) -> None:
    async def fails() -> None:
        async with transaction():
            await _queue()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fails()
    await _drain()
    assert not mta.ledger
    assert await get_model("Message").all().count() == 0


async def test_many_are_queued_at_once_and_sent(host: Runtime, mta: FakeMta) -> None:
    file = await get_model("Attachment").create(
        name="a.txt", content_type="text/plain", content=b"x", size_bytes=1, sha256="0" * 64
    )
    draft = await get_model("Message").create(subject="Draft")
    request = QueueRequest(author=None, to=("a@b.test",), subject="One", body="<p>1</p>", from_email=SENDER)
    requests = [
        request,
        replace(request, to=("b@b.test", "c@b.test"), subject="Two", attachments=(file,)),
        replace(request, to=("d@b.test",), message=draft),
    ]
    one, two, three = await get_model("Message").queue_many(requests)
    assert (one.subject, two.subject, three.pk) == ("One", "Two", draft.pk)
    await _drain()
    assert sorted(one.recipient for one in mta.ledger) == ["a@b.test", "b@b.test", "c@b.test", "d@b.test"]
    assert {one.recipient for one in mta.ledger if b"a.txt" in one.raw} == {"b@b.test", "c@b.test"}
    await two.refresh_from_db()
    assert two.send_state == "Sent"


async def test_one_bad_address_among_many_queues_none(host: Runtime) -> None:
    request = QueueRequest(author=None, to=("a@b.test",), subject="One", body="", from_email=SENDER)
    with pytest.raises(AddressError):
        await get_model("Message").queue_many([request, replace(request, to=("a@b c",))])
    assert await get_model("Message").all().count() == 0


async def test_each_recipient_has_an_outcome_of_its_own(host: Runtime) -> None:
    """F7: 250, 450 and 550 at RCPT; the first is never sent again."""
    script = Script(
        recipients={
            "later@b.test": (Act(reply="450 4.2.0 greylisted"), None),
            "gone@b.test": Act(reply="550 5.1.1 no such user"),
        }
    )
    async with _sends_to(host, script) as mta:
        message = await _queue("ok@b.test", "later@b.test", "gone@b.test")
        await _drain()
        assert await _states(message) == {"ok@b.test": "sent", "later@b.test": "queued", "gone@b.test": "failed"}
        await message.refresh_from_db()
        assert message.send_state == "Failed"
        assert message.retry_count == 1
        assert message.next_retry_at is not None
        await _let_wait_pass()
        await _drain()
    assert await _states(message) == {"ok@b.test": "sent", "later@b.test": "sent", "gone@b.test": "failed"}
    assert sorted(one.recipient for one in mta.ledger) == ["later@b.test", "ok@b.test"]
    first, second = mta.ledger
    assert first.raw == second.raw


async def test_retries_wait_linearly_and_end(host: Runtime) -> None:
    """reference/000: 5 x retry_count minutes until max_retries, then next_retry_at is null."""
    async with _sends_to(host, Script(recipients={"kim@customer.test": Act(reply="450 4.2.0 not now")})):
        message = await _queue()
        waits = []
        for _ in range(3):
            await _let_wait_pass()
            await _drain()
            await message.refresh_from_db()
            waits.append(message.next_retry_at and round((message.next_retry_at - clock.now()).total_seconds() / 60))
    assert waits == [5, 10, None]
    assert (message.send_state, message.retry_count) == ("Failed", 3)
    assert "450 4.2.0 not now" in message.error
    await message.action_retry()
    assert (message.send_state, message.retry_count, message.next_retry_at) == ("Queued", 0, None)


@pytest.mark.parametrize("on_unknown", ["retry", "hold"])
async def test_a_link_lost_after_the_dot_is_unknown(host: Runtime, on_unknown: str) -> None:
    """F14: nobody knows; the policy decides, and a second try carries the same bytes."""
    async with _sends_to(host, Script(steps={"dot": (Act(drop=True), None)})) as mta:
        message = await _queue()
        message.on_unknown = on_unknown
        await message.save(update_fields=["on_unknown"])
        await _drain()
        attempts = await get_model("Attempt").all().values_list("outcome", flat=True)
        assert attempts == ["unknown"]
        await message.refresh_from_db()
        assert message.send_state == ("Failed" if on_unknown == "retry" else "Unknown")
        await _let_wait_pass()
        await _drain()
        await message.refresh_from_db()
        assert message.send_state == ("Sent" if on_unknown == "retry" else "Unknown")
        assert len({one.raw for one in mta.ledger}) <= 1


@pytest.mark.parametrize("step", ["mail", "rcpt", "data"])
async def test_a_link_lost_before_the_dot_is_tried_again_and_burns_no_retry(host: Runtime, step: str) -> None:
    """F13"""
    async with _sends_to(host, Script(steps={step: (Act(drop=True), None)})) as mta:
        message = await _queue()
        await _drain()
        await _let_wait_pass()
        await _drain()
        await message.refresh_from_db()
        assert (message.send_state, message.retry_count) == ("Sent", 0)
        assert len(mta.ledger) == 1


async def test_a_dead_server_is_paused_and_burns_no_retries(host: Runtime) -> None:
    """F1: refused connections; the circuit opens after five faults and says why."""
    await get_model("OutgoingMailServer").create(name="dead", server="127.0.0.1", port=1, use_ssl=False)
    messages = [await _queue(f"kim{number}@customer.test") for number in range(10)]
    await _drain()
    assert await queue_stats() | {"Queued": 10} == await queue_stats()
    (pause,) = await get_model("ServerPause").all()
    assert pause.until_at > clock.now()
    for message in messages:
        await message.refresh_from_db()
        assert message.retry_count == 0
        assert "left alone" in message.error


async def test_a_refused_login_pauses_the_server_and_fails_nothing(host: Runtime) -> None:
    """F5"""
    script = Script(steps={"mail": Act(reply="530 5.7.0 Authentication required")})
    async with _sends_to(host, script):
        await _queue()
        for _ in range(6):
            await get_model("Delivery").filter(state="queued").update(due_at=clock.now() - timedelta(seconds=1))
            await _drain()
        assert (await queue_stats())["Queued"] == 1
        (pause,) = await get_model("ServerPause").all()
        assert "530" in pause.reason


async def test_no_server_at_all_says_what_to_do(host: Runtime) -> None:
    user = await get_model("User").create(login="anna@acme.test", name="Anna")
    await get_model("OutgoingMailServer").create(name="hers", server="127.0.0.1", port=1, use_ssl=False, user=user)
    object.__setattr__(host.settings, "SMTP_SERVER", "")
    message = await _queue()
    await _drain()
    await message.refresh_from_db()
    assert message.send_state == "Queued"
    assert "SMTP_SERVER" in message.error


async def test_a_connection_worn_by_the_server_is_replaced(host: Runtime) -> None:
    """F12: 421 after some messages; nobody is skipped."""
    async with _sends_to(host, Script(messages_per_connection=3)) as mta:
        for number in range(20):
            await _queue(f"kim{number}@customer.test")
        for _ in range(3):
            await _let_wait_pass()
            await _drain()
    assert sorted(one.recipient for one in mta.ledger) == sorted(f"kim{n}@customer.test" for n in range(20))
    assert (await queue_stats())["Sent"] == 20


async def test_many_engines_send_each_mail_once(host: Runtime, mta: FakeMta) -> None:
    """F25, within one process."""
    for number in range(60):
        await _queue(f"kim{number}@customer.test")
    await asyncio.gather(*(_drain() for _ in range(6)))
    assert len(mta.ledger) == len({one.message_id for one in mta.ledger}) == 60


async def test_a_lost_claim_is_swept_back_and_a_lost_send_is_unknown(host: Runtime, mta: FakeMta) -> None:
    """F20, F21: what a killed worker leaves behind."""
    claimed, begun = await _queue("a@b.test"), await _queue("c@b.test")
    past = clock.now() - timedelta(minutes=5)
    for message, state in ((claimed, "claimed"), (begun, "sending")):
        await (
            get_model("Delivery")
            .filter(message_id=message.pk)
            .update(state=state, lease_token="dead", lease_until=past, begun_at=past)
        )
    await _drain()
    assert await _states(claimed) == {"a@b.test": "sent"}
    assert await _states(begun) == {"c@b.test": "queued"}
    (attempt,) = await get_model("Attempt").filter(outcome="unknown")
    assert "worker was lost" in attempt.reply


async def test_a_mail_that_cannot_be_composed_stops_nobody(host: Runtime, mta: FakeMta) -> None:
    """F38: a poison row."""
    poison = await _queue("poison@b.test")
    await get_model("Message").filter(id=poison.pk).update(headers={"Bad\nName": "x"})
    good = await _queue("good@b.test")
    await _drain()
    assert await _states(good) == {"good@b.test": "sent"}
    await poison.refresh_from_db()
    assert poison.send_state == "Failed"
    assert "could not be composed" in poison.error


async def test_send_now_sends_what_is_scheduled_for_later(host: Runtime, mta: FakeMta) -> None:
    message = await _queue(scheduled_at=clock.now() + timedelta(days=1))
    await _drain()
    assert not mta.ledger
    await message.send_now()
    assert message.send_state == "Sent"


async def test_mark_failed_counts_and_waits(host: Runtime) -> None:
    message = await _queue()
    await message._mark_failed("no route to host")
    assert (message.send_state, message.retry_count) == ("Failed", 1)
    assert message.next_retry_at > clock.now() + timedelta(minutes=4)
    assert "no route to host" in message.error


async def test_hold_release_and_cancel(host: Runtime, mta: FakeMta) -> None:
    message = await _queue()
    await message.hold()
    await _drain()
    assert (message.send_state, len(mta.ledger)) == ("Held", 0)
    await message.release()
    await message.cancel()
    assert message.send_state == "Cancelled"
    with pytest.raises(UserError, match="not waiting"):
        await message.hold()
    await _drain()
    assert not mta.ledger


@pytest.mark.parametrize(
    "address",
    ["alice@example.org)bob@evil.test", '"v\r\nRCPT TO:<evil@x.test>\r\n"@x.test', "v@x.test,evil@x.test", "a@b c", ""],
)
async def test_a_hostile_recipient_is_refused_before_anything_is_stored(host: Runtime, address: str) -> None:
    """S2"""
    with pytest.raises((AddressError, UserError)):
        await _queue(address)
    assert await get_model("Message").all().count() == 0


async def test_bcc_is_in_the_envelope_only(host: Runtime, mta: FakeMta) -> None:
    await _queue("to@b.test", bcc=["hidden@b.test"])
    await _drain()
    assert sorted(one.recipient for one in mta.ledger) == ["hidden@b.test", "to@b.test"]
    assert all(b"hidden" not in one.raw for one in mta.ledger)


async def test_the_worker_is_woken_and_stops_cleanly(host: Runtime, mta: FakeMta) -> None:
    """F19: a stopped worker leaves no row claimed or sending."""
    stop = asyncio.Event()
    async with Engine() as engine:
        running = asyncio.create_task(engine.run(stop))
        await asyncio.sleep(0.05)
        for number in range(10):
            await _queue(f"kim{number}@customer.test")
        async with asyncio.timeout(10):
            while len(mta.ledger) < 10:
                await asyncio.sleep(0.01)
        stop.set()
        async with asyncio.timeout(10):
            await running
    states = set(await get_model("Delivery").all().values_list("state", flat=True))
    assert states == {"sent"}


async def test_the_database_may_go_away_between_answer_and_commit(host: Runtime, mta: FakeMta) -> None:
    """F31: the result waits for the database, and nothing more is sent without a mark."""
    from core.delivery import ledger

    message = await _queue()
    refused = 0
    original = ledger.write_results

    async def away(*args: Any, **kwargs: Any) -> set[int]:
        nonlocal refused
        if args[0] and refused < 3:
            refused += 1
            raise OSError("connection lost")
        return await original(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger, "write_results", away)
        await _drain()
    assert refused == 3
    await message.refresh_from_db()
    assert message.send_state == "Sent"
    assert len(mta.ledger) == 1
