from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from core.api import UserError, get_model, now, transaction
from core.delivery.claim import sweep
from core.delivery.engine import Engine
from tests.servers.http_provider import Answer, HttpProvider

pytestmark = pytest.mark.anyio
ANN, BOB, CAT = "+4915112345601", "+4915112345602", "+4915112345603"


async def make_provider(gateway: HttpProvider, **values: Any) -> Any:
    body = {"to": "{to}", "text": "{text}", "from": "{sender}", "ref": "{reference}"}
    made = {"name": "Gateway", "url": gateway.url, "sender": "Lakeside", "secret": "Bearer abc123", "body": body}
    return await get_model("SmsProvider").create(**{**made, **values})


async def queue(*recipients: str, text: str = "Your table is ready.", **options: Any) -> Any:
    return await get_model("Message").queue_message("sms", None, recipients, text, **options)


async def flush(times: int = 1) -> None:
    async with Engine("test") as engine:
        for _ in range(times):
            await engine.flush()


async def states(message: Any) -> list[str]:
    rows: list[str] = await get_model("Delivery").filter(message=message).order_by("id").values_list("state", flat=True)
    return rows


async def make_all_due() -> None:
    await get_model("Delivery").filter(state="queued").update(due_at=now() - timedelta(minutes=1))
    await get_model("ServerPause").all().update(until_at=now() - timedelta(minutes=1))


async def test_each_recipient_is_asked_for_once(host: Any, gateway: HttpProvider) -> None:
    provider = await make_provider(gateway)
    message = await queue(ANN, "0049 151 12345602", ANN)
    await flush(3)
    await message.refresh_from_db()
    assert message.send_state == "Sent"
    assert message.email_to == [ANN, BOB]
    assert Counter(asked.json["to"] for asked in gateway.asked) == {ANN: 1, BOB: 1}
    assert gateway.asked[0].json["text"] == "Your table is ready."
    assert gateway.asked[0].headers["authorization"] == "Bearer abc123"
    first, second = await get_model("Delivery").filter(message=message).order_by("id")
    assert {first.remote_id, second.remote_id} == {f"{provider.key}/r1", f"{provider.key}/r2"}
    assert {asked.json["ref"] for asked in gateway.asked} == {str(first.pk), str(second.pk)}
    attempt = await get_model("Attempt").get(delivery=first)
    assert (attempt.outcome, attempt.code, attempt.server) == ("sent", 200, "Gateway")


async def test_a_rollback_sends_nothing(host: Any, gateway: HttpProvider) -> None:
    await make_provider(gateway)

    async def undone() -> None:
        async with transaction():
            await queue(ANN)
            raise RuntimeError("undone")

    with pytest.raises(RuntimeError, match="undone"):
        await undone()
    await flush()
    assert gateway.asked == []


async def test_what_cannot_be_sent_is_refused_before_it_is_queued(host: Any) -> None:
    for recipients, text, words in (
        ([], "Hi", "no recipient"),
        (["0151 123"], "Hi", "PHONE_REGION"),
        ([ANN], "  ", "no text"),
        ([ANN], "a" * 1601, "1601 characters"),
    ):
        with pytest.raises(UserError, match=words):
            await queue(*recipients, text=text)
    assert not await get_model("Delivery").all().count()


async def test_the_same_key_queues_once(host: Any) -> None:
    first = await queue(ANN, idempotency_key="order 7")
    assert (await queue(ANN, idempotency_key="order 7")).pk == first.pk
    with pytest.raises(UserError, match="used for another"):
        await queue(BOB, idempotency_key="order 7")
    assert await get_model("Delivery").all().count() == 1


@pytest.mark.parametrize(
    ("answer", "state", "retries", "asked_again"),
    [
        (Answer(500, b"oops"), "queued", 1, True),
        (Answer(400, b'{"error": "no such number"}'), "failed", 0, False),
        (Answer(429, headers=("Retry-After: 40",)), "queued", 0, True),
        (Answer(401, b"who are you"), "queued", 0, True),
        (Answer(302, headers=("Location: http://169.254.169.254/latest/meta-data/",)), "queued", 0, True),
        (Answer(200, b"<html>Welcome to this network</html>"), "queued", 1, True),
        (Answer(drops=True), "queued", 1, True),
    ],
    ids=["500", "400", "429", "401", "redirect", "garbage", "drops after the body"],
)
async def test_an_answer_decides_what_follows(
    host: Any, gateway: HttpProvider, answer: Answer, state: str, retries: int, asked_again: bool
) -> None:
    await make_provider(gateway)
    gateway.plan(answer)
    message = await queue(ANN)
    await flush()
    delivery = await get_model("Delivery").get(message=message)
    assert (delivery.state, delivery.attempts) == (state, retries)
    assert len(gateway.asked) == 1
    await make_all_due()
    await flush()
    assert len(gateway.asked) == 1 + asked_again
    assert await states(message) == ["sent" if asked_again else "failed"]
    assert "abc123" not in str(await get_model("Attempt").all().values())


async def test_what_may_have_been_taken_can_wait_for_a_person(host: Any, gateway: HttpProvider) -> None:
    await make_provider(gateway)
    gateway.plan(Answer(drops=True))
    message = await queue(ANN, on_unknown="hold")
    await flush(2)
    await message.refresh_from_db()
    assert message.send_state == "Unknown"
    assert len(gateway.asked) == 1


async def test_a_busy_provider_is_left_alone_as_long_as_it_asks(host: Any, gateway: HttpProvider) -> None:
    provider = await make_provider(gateway, most_at_once=1)
    gateway.plan(Answer(429, headers=("Retry-After: 90",)))
    message = await queue(ANN, BOB, CAT)
    await flush(3)
    assert len(gateway.asked) == 1
    pause = await get_model("ServerPause").get(server=provider.key)
    assert timedelta(seconds=80) < pause.until_at - now() <= timedelta(seconds=90)
    assert await states(message) == ["queued"] * 3
    await message.refresh_from_db()
    assert "429" in message.error
    await make_all_due()
    await flush()
    assert await states(message) == ["sent"] * 3
    assert not await get_model("ServerPause").filter(server=provider.key).exists()
    assert Counter(asked.json["to"] for asked in gateway.asked)[BOB] == 1


async def test_a_provider_that_is_not_there_burns_no_retry(host: Any, gateway: HttpProvider) -> None:
    await make_provider(gateway, url="http://127.0.0.1:9/send", most_at_once=1)
    message = await queue(*(f"+49151123456{at:02}" for at in range(8)))
    for _ in range(3):
        await get_model("Delivery").filter(state="queued").update(due_at=now() - timedelta(minutes=1))
        await flush()
    assert await states(message) == ["queued"] * 8
    assert set(await get_model("Delivery").all().values_list("attempts", flat=True)) == {0}
    assert (await get_model("ServerPause").get()).failures == 5
    assert await get_model("Attempt").filter(outcome="server").count() == 5


async def test_without_a_provider_a_message_waits_and_says_so(host: Any) -> None:
    message = await queue(ANN)
    await flush()
    await message.refresh_from_db()
    assert await states(message) == ["queued"]
    assert "No SMS provider" in message.error


async def test_a_private_address_is_not_called(host: Any, gateway: HttpProvider) -> None:
    await make_provider(gateway, url="http://169.254.169.254/send")
    message = await queue(ANN)
    await flush()
    await message.refresh_from_db()
    assert await states(message) == ["queued"]
    assert "169.254.169.254 has no public address" in message.error


async def test_a_company_has_its_own_provider(host: Any, gateway: HttpProvider) -> None:
    company = await get_model("Company").create(name="Lakeside")
    await make_provider(gateway, name="All", priority=1, sender="All")
    await make_provider(gateway, name="Own", priority=5, sender="Own", company=company)
    await queue(ANN)
    await queue(BOB, company=company)
    await flush()
    assert {asked.json["to"]: asked.json["from"] for asked in gateway.asked} == {ANN: "All", BOB: "Own"}


async def test_a_pace_holds(host: Any, gateway: HttpProvider) -> None:
    await make_provider(gateway, rate_per_minute=2)
    message = await queue(ANN, BOB, CAT)
    await flush(3)
    assert sorted(await states(message)) == ["queued", "sent", "sent"]
    assert len(gateway.asked) == 2


async def test_whoever_said_stop_is_not_written_to(host: Any, gateway: HttpProvider) -> None:
    await make_provider(gateway)
    await get_model("Suppression").suppress(ANN, list="sms", reason="unsubscribe")
    await get_model("Suppression").suppress(BOB, list="whatsapp", reason="unsubscribe")
    message = await queue(ANN, BOB)
    await flush()
    assert [asked.json["to"] for asked in gateway.asked] == [BOB]
    assert await states(message) == ["cancelled", "sent"]


async def test_what_expired_is_not_sent(host: Any, gateway: HttpProvider) -> None:
    await make_provider(gateway)
    message = await queue(ANN, expires_at=now() - timedelta(seconds=1))
    await flush()
    assert gateway.asked == []
    assert await states(message) == ["cancelled"]


async def test_a_stopped_worker_leaves_nothing_on_its_way(host: Any, gateway: HttpProvider) -> None:
    await make_provider(gateway, most_at_once=1)
    gateway.make = lambda _asked: Answer(after_s=30)
    message = await queue(ANN, BOB)
    engine = Engine("stopped")
    flushing = asyncio.create_task(engine.flush())
    await gateway.until(1)
    flushing.cancel()
    await asyncio.gather(flushing, return_exceptions=True)
    await engine.ledger.aclose()
    assert await states(message) == ["queued", "queued"]
    assert list(await get_model("Delivery").all().order_by("id").values_list("attempts", flat=True)) == [1, 0]
    assert (await get_model("Attempt").get()).outcome == "unknown"


async def test_a_killed_worker_repeats_at_most_what_was_on_its_way(host: Any, gateway: HttpProvider) -> None:
    """What it had marked is unknown, and so may be sent twice; what it had only claimed is sent once."""
    await make_provider(gateway, most_at_once=2)
    numbers = [f"+49151123456{at:02}" for at in range(10)]
    gateway.make = lambda asked: Answer(after_s=30 if len(gateway.asked) > 4 else 0, body=b'{"id": "x"}')
    message = await queue(*numbers)
    dead = asyncio.create_task(Engine("dead").flush())
    await gateway.until(6)
    in_flight = await get_model("Delivery").filter(state="sending").count()
    assert in_flight <= 2
    # Nothing of it is cleaned up: as after kill -9, only time gives its rows back.
    await (
        get_model("Delivery")
        .filter(state__in=("claimed", "sending"))
        .update(lease_until=now() - timedelta(minutes=1), lease_token="dead")
    )
    await sweep()
    gateway.make = None
    await make_all_due()
    await flush()
    dead.cancel()
    await asyncio.gather(dead, return_exceptions=True)
    assert await states(message) == ["sent"] * 10
    counts = Counter(asked.json["to"] for asked in gateway.asked)
    assert set(counts) == set(numbers)
    assert sum(counts.values()) - 10 <= in_flight


async def test_two_workers_send_each_once(host: Any, gateway: HttpProvider) -> None:
    await make_provider(gateway)
    numbers = [f"+4915112345{at:03}" for at in range(60)]
    for number in numbers:
        await queue(number)
    await asyncio.gather(*(drain(name) for name in ("one", "two")))
    assert Counter(asked.json["to"] for asked in gateway.asked) == dict.fromkeys(numbers, 1)


async def drain(name: str) -> None:
    async with Engine(name) as engine:
        await engine.drain()


async def test_what_a_caller_passes_is_made_storable(host: Any, gateway: HttpProvider) -> None:
    await make_provider(gateway)
    message = await queue(ANN, text="a\0b\ud800c", sender="Lake")
    await flush()
    await message.refresh_from_db()
    assert (message.text, gateway.asked[0].json["text"], gateway.asked[0].json["from"]) == ("abc", "abc", "Lake")
    with pytest.raises(UserError):
        await queue(ANN, sender="Lake\r\nX: y")


async def test_an_addon_s_provider_may_fail_in_any_way(host: Any, gateway: HttpProvider) -> None:
    """A body that cannot be made is this message's fault, and is not sent again and again."""
    provider = await make_provider(gateway)
    await get_model("SmsProvider").filter(id=provider.pk).update(body={"to": "{nobody}"}, secret=None)
    message = await queue(ANN)
    await flush()
    assert await states(message) == ["failed"]
    assert gateway.asked == []


class TestCaught:
    @pytest.fixture
    def settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        return {**settings, "MAIL_MODE": "catch"}

    async def test_nothing_leaves(self, host: Any, gateway: HttpProvider) -> None:
        await make_provider(gateway)
        message = await queue(ANN, BOB, text="Grüße\nvon uns")
        await flush()
        assert gateway.connections == 0
        assert await states(message) == ["sent", "sent"]
        caught: Sequence[Any] = await get_model("CaughtEmail").all().order_by("id")
        assert [(one.channel, one.recipients, one.subject) for one in caught] == [
            ("sms", [ANN], "Grüße von uns"),
            ("sms", [BOB], "Grüße von uns"),
        ]
        assert caught[0].message_id == message.pk


async def test_the_dev_provider_keeps_messages_where_mail_goes_out(host: Any) -> None:
    provider = await get_model("SmsProvider").create(name="Dev", kind="dev")
    message = await queue(ANN)
    await flush()
    caught = await get_model("CaughtEmail").get()
    delivery = await get_model("Delivery").get(message=message)
    assert (delivery.state, delivery.remote_id) == ("sent", f"{provider.key}/dev{caught.pk}")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"kind": "twilio"}, {"url": "https://evil.example"}),
        ({"kind": "twilio"}, {"kind": "http", "url": "https://evil.example/send", "body": {"to": "{to}"}}),
        ({"url": "https://sms.example/send"}, {"url": "https://evil.example/send"}),
        ({"url": "https://sms.example/send"}, {"url": "http://sms.example/send"}),
    ],
)
async def test_i18_a_stored_secret_never_goes_to_another_host(
    host: Any, before: dict[str, Any], after: dict[str, Any]
) -> None:
    values = {"name": "P", "username": "AC1", "secret": "token", "sender": "+4930111", "body": {"to": "{to}"}, **before}
    provider = await get_model("SmsProvider").create(**values)
    provider.update_from_dict(after)
    with pytest.raises(UserError, match="enter the secret again"):
        await provider.save()
    provider.secret = "another"
    await provider.save()
