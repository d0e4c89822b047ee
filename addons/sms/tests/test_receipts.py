from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from datetime import timedelta
from hashlib import sha1
from hmac import new as hmac
from time import process_time
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest

from core.api import get_model, now
from core.delivery.engine import Engine
from core.web.app import create_app
from tests.servers.http_provider import Answer, HttpProvider

pytestmark = pytest.mark.anyio
ANN = "+4915112345601"
SECRET = {"Authorization": "Bearer a long secret", "Content-Type": "application/json"}


@pytest.fixture
async def caller(host: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """A stranger with an HTTP client."""
    transport = httpx2.ASGITransport(app=create_app())
    async with httpx2.AsyncClient(transport=transport, base_url="https://office.example") as client:
        yield client


@pytest.fixture
async def provider(host: Any, gateway: HttpProvider) -> Any:
    return await get_model("SmsProvider").create(
        name="Gateway", url=gateway.url, body={"to": "{to}", "text": "{text}"}, webhook_secret="a long secret"
    )


async def sent(**options: Any) -> Any:
    message = await get_model("Message").queue_message("sms", None, [ANN], "Your table is ready.", **options)
    async with Engine("test") as engine:
        await engine.flush()
    return await get_model("Delivery").get(message=message)


async def tell(caller: httpx2.AsyncClient, provider: Any, *told: Any, **headers: str) -> int:
    path = f"/api/sms/webhook/{provider.pk}"
    answer = await caller.post(path, content=json.dumps(list(told)), headers={**SECRET, **headers})
    return answer.status_code


async def state_of(delivery: Any) -> tuple[str, str]:
    await delivery.refresh_from_db()
    message = await delivery.message
    return delivery.state, message.send_state


async def test_a_receipt_is_kept_once_and_shown(provider: Any, caller: Any) -> None:
    delivery = await sent()
    for _ in range(3):
        assert await tell(caller, provider, {"id": "r1", "status": "delivered"}) == 204
    assert await tell(caller, provider, {"id": "r1", "status": "read"}, {"id": "r1", "status": "delivered"}) == 204
    assert await get_model("Receipt").filter(delivery=delivery).order_by("id").values_list("state", flat=True) == [
        "delivered",
        "read",
    ]
    assert await state_of(delivery) == ("sent", "Sent")


async def test_a_failure_that_is_told_later_is_a_failure(provider: Any, caller: Any) -> None:
    delivery = await sent()
    assert await tell(caller, provider, {"id": "r1", "status": "failed", "words": "switched off"}) == 204
    assert await state_of(delivery) == ("failed", "Failed")
    assert (await delivery.message).error == f"{ANN}: switched off"


@pytest.mark.parametrize("order", [("failed", "delivered"), ("delivered", "failed")])
async def test_what_arrived_has_arrived_in_whatever_order_it_is_told(
    provider: Any, caller: Any, order: tuple[str, str]
) -> None:
    delivery = await sent()
    for status in order:
        await tell(caller, provider, {"id": "r1", "status": status})
    assert await state_of(delivery) == ("sent", "Sent")


async def test_a_receipt_by_our_reference_settles_what_nobody_knew(
    provider: Any, caller: Any, gateway: HttpProvider
) -> None:
    """The link was lost after the body: the provider's word stops the retry."""
    gateway.plan(Answer(drops=True))
    delivery = await sent()
    assert (await state_of(delivery))[0] == "queued"
    await tell(caller, provider, {"id": "m77", "status": "accepted", "reference": str(delivery.pk)})
    assert await state_of(delivery) == ("sent", "Sent")
    assert delivery.remote_id == f"{provider.key}/m77"
    async with Engine("test") as engine:
        await engine.drain()
    assert len(gateway.asked) == 1


async def test_a_receipt_that_comes_before_our_own_result_is_not_lost(
    provider: Any, caller: Any, gateway: HttpProvider
) -> None:
    gateway.make = lambda _asked: Answer(after_s=0.04, body=b'{"id": "early"}')
    sending = asyncio.create_task(sent())
    await gateway.until(1)
    await tell(caller, provider, {"id": "early", "status": "delivered"})
    delivery = await sending
    receipt = await get_model("Receipt").get()
    assert (delivery.state, receipt.delivery_id) == ("sent", delivery.pk)


async def test_a_receipt_that_comes_while_the_answer_is_lost_stops_the_retry(
    provider: Any, caller: Any, gateway: HttpProvider
) -> None:
    gateway.plan(Answer(after_s=0.04, drops=True))
    sending = asyncio.create_task(sent())
    await gateway.until(1)
    delivery = await get_model("Delivery").get()
    await tell(caller, provider, {"status": "delivered", "reference": str(delivery.pk)})
    await sending
    assert await state_of(delivery) == ("sent", "Sent")


async def test_a_try_again_is_not_judged_by_the_last_try(provider: Any, caller: Any) -> None:
    delivery = await sent()
    await tell(caller, provider, {"id": "r1", "status": "failed"})
    await (await delivery.message).action_retry()
    async with Engine("test") as engine:
        await engine.flush()
    await tell(caller, provider, {"id": "r2", "status": "accepted"})
    assert await state_of(delivery) == ("sent", "Sent")


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": ""},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer a long secre\xe9"},
        {"Authorization": "Bearer a long secret", "X-Webhook-Secret": "a long secret"},
    ],
)
async def test_a_wrong_proof_changes_nothing(provider: Any, caller: Any, headers: dict[str, str]) -> None:
    delivery = await sent()
    await get_model("User").create(login="root@office.example", name="Root", is_admin=True)
    coded = {name: value.encode("latin-1") for name, value in headers.items()}
    path = f"/api/sms/webhook/{provider.pk}"
    for _ in range(2):
        answer = await caller.post(path, content=b'{"id": "r1", "status": "failed"}', headers={**SECRET, **coded})
        assert answer.status_code == 403
    assert await state_of(delivery) == ("sent", "Sent")
    assert await get_model("Notification").all().count() == 1


async def test_a_flood_of_strangers_is_counted_and_not_written_call_by_call(provider: Any, caller: Any) -> None:
    for number in range(30):
        path = f"/api/sms/webhook/{(number % 2 and provider.pk) or 1000 + number}"
        assert (await caller.post(path, content=b"{}")).status_code == 403
    refusals = await get_model("WebhookRefusal").all().order_by("reason").values_list("reason", flat=True)
    assert refusals == ["it brought no proof of any provider", "it brought no proof that it comes from Gateway"]
    assert sum(await get_model("WebhookRefusal").all().values_list("count", flat=True)) < 30


async def test_without_a_secret_nothing_is_believed(provider: Any, caller: Any) -> None:
    await get_model("SmsProvider").filter(id=provider.pk).update(webhook_secret="")
    for secret in ("", "None", "a long secret"):
        assert await tell(caller, provider, {"id": "r1", "status": "read"}, Authorization=f"Bearer {secret}") == 403
    assert (await caller.post("/api/sms/webhook/999", content=b"{}", headers=SECRET)).status_code == 403


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 60_000, b'"x"', b"[null, 3, {}]", b'{"id": ["r1"], "status": {}}'])
async def test_what_is_no_receipt_changes_nothing(provider: Any, caller: Any, body: bytes) -> None:
    delivery = await sent()
    answer = await caller.post(f"/api/sms/webhook/{provider.pk}", content=body, headers=SECRET)
    assert answer.status_code in (204, 400, 422)
    assert await state_of(delivery) == ("sent", "Sent")


async def test_strange_characters_and_ids_are_stored_or_refused(
    provider: Any, caller: Any, gateway: HttpProvider
) -> None:
    gateway.plan(Answer(body=b'{"id": "a\\ud800\\u0000b%s"}' % (b"x" * 500)))
    delivery = await sent()
    assert delivery.state == "sent"
    told = {"id": "a\ud800\0b" + "x" * 500, "status": "failed", "words": "\ud800\0 no \x1b[31m"}
    assert await tell(caller, provider, told) == 204
    assert (await state_of(delivery))[0] == "failed"
    for number in (0, 2**31, 10**30):
        assert (await caller.post(f"/api/sms/webhook/{number}", content=b"{}", headers=SECRET)).status_code == 403
    for reference in ("9" * 18, "9" * 400, "-1", "²", "٣"):
        assert await tell(caller, provider, {"id": "n", "status": "failed", "reference": reference}) == 204


async def test_a_provider_that_sends_no_more_is_still_heard(provider: Any, caller: Any) -> None:
    delivery = await sent()
    await get_model("SmsProvider").all().update(active=False)
    assert await tell(caller, provider, {"id": "r1", "status": "failed"}) == 204
    assert (await state_of(delivery))[0] == "failed"


async def test_a_provider_speaks_only_of_its_own_messages(provider: Any, caller: Any, gateway: HttpProvider) -> None:
    other = await get_model("SmsProvider").create(
        name="Other", url=gateway.url, body={"to": "{to}"}, webhook_secret="a long secret", priority=99
    )
    delivery = await sent()
    mail = await get_model("Message").queue_email(None, ["a@b.example"], "Hi", "<p>Hi</p>", from_email="c@d.example")
    mailed = await get_model("Delivery").get(message=mail)
    for one in (delivery, mailed):
        await tell(caller, other, {"id": "r1", "status": "failed", "reference": str(one.pk)})
    assert await state_of(delivery) == ("sent", "Sent")
    assert await state_of(mailed) == ("queued", "Queued")


async def test_parallel_calls_are_one(provider: Any, caller: Any) -> None:
    delivery = await sent()
    told = await asyncio.gather(
        *(tell(caller, provider, {"id": "r1", "status": "failed"}) for _ in range(8)),
        *(tell(caller, provider, {"id": "r1", "status": "delivered"}) for _ in range(8)),
    )
    assert set(told) == {204}
    assert await get_model("Receipt").all().count() == 2
    assert await state_of(delivery) == ("sent", "Sent")


class TestTwilio:
    @pytest.fixture
    async def provider(self, host: Any, gateway: HttpProvider) -> Any:
        gateway.make = lambda asked: Answer(201, b'{"sid": "SM%d", "status": "queued"}' % len(gateway.asked))
        return await get_model("SmsProvider").create(
            name="Twilio", kind="twilio", url=gateway.url.removesuffix("/send"), username="AC1", secret="token",
            sender="+4930111",
        )  # fmt: skip

    async def call(self, caller: Any, url: str, secret: str = "token", **form: str) -> int:
        signed = url + "".join(name + form[name] for name in sorted(form))
        signature = b64encode(hmac(secret.encode(), signed.encode(), sha1).digest()).decode()
        headers = {"X-Twilio-Signature": signature, "Content-Type": "application/x-www-form-urlencoded"}
        return int((await caller.post(url, content=urlencode(form), headers=headers)).status_code)

    async def test_it_is_asked_in_its_form_and_its_receipts_are_believed(
        self, provider: Any, caller: Any, gateway: HttpProvider
    ) -> None:
        delivery = await sent()
        (asked,) = gateway.asked
        assert asked.target == "/2010-04-01/Accounts/AC1/Messages.json"
        assert asked.headers["authorization"] == "Basic " + b64encode(b"AC1:token").decode()
        url = asked.form["StatusCallback"]
        assert asked.form == {
            "To": ANN, "Body": "Your table is ready.", "From": "+4930111", "StatusCallback": url
        }  # fmt: skip
        assert url == f"https://office.example/api/sms/webhook/{provider.pk}?reference={delivery.pk}"
        failed = {"MessageSid": "SM1", "MessageStatus": "undelivered", "ErrorCode": "30003"}
        assert await self.call(caller, url, secret="guessed", **failed) == 403
        assert await state_of(delivery) == ("sent", "Sent")
        assert await self.call(caller, url, **failed) == 204
        assert await state_of(delivery) == ("failed", "Failed")
        assert "30003" in (await delivery.message).error

    async def test_an_answer_reaches_the_timeline_once_and_stop_is_heeded(
        self, provider: Any, caller: Any, gateway: HttpProvider
    ) -> None:
        delivery = await sent()
        url = provider.receipt_url()
        strange = {"MessageSid": "SM8", "SmsStatus": "received", "From": "INFO\0", "Body": "\0code 17"}
        assert await self.call(caller, url, **strange) == 204
        form = {"MessageSid": "SM9", "SmsStatus": "received", "From": ANN, "Body": "Stop"}
        for _ in range(2):
            assert await self.call(caller, url, **form) == 204
        alien, came = await get_model("Message").filter(direction="Inbound").order_by("id")
        assert (alien.email_from, alien.text, alien.parent_id) == ("INFO", "code 17", None)
        assert (came.channel, came.text, came.parent_id) == ("sms", "Stop", delivery.message_id)
        again = await sent()
        assert (await state_of(again))[0] == "cancelled"
        await self.call(caller, url, **{**form, "MessageSid": "SM10", "Body": "START"})
        assert (await state_of(await sent()))[0] == "sent"
        assert len(gateway.asked) == 2
        short_code = {"MessageSid": "SM11", "SmsStatus": "received", "From": "INFO", "Body": "STOP"}
        assert await self.call(caller, url, **short_code) == 204

    async def test_a_stranger_s_form_of_a_million_fields_is_refused_at_once(self, provider: Any, caller: Any) -> None:
        headers = {"X-Twilio-Signature": "x", "Content-Type": "application/x-www-form-urlencoded"}
        began = process_time()
        answer = await caller.post(provider.receipt_url(), content=b"a=%41&" * 330_000, headers=headers)
        assert answer.status_code == 403
        assert process_time() - began < 0.5

    async def test_what_its_answer_repeats_of_our_login_is_told_to_nobody(
        self, provider: Any, gateway: HttpProvider
    ) -> None:
        login = b64encode(b"AC1:token").decode()
        said = {"code": 21211, "message": f"{'x' * 288} {login} Basic {login} token"}
        gateway.plan(Answer(400, json.dumps(said).encode()))
        told = (await (await sent()).message).error
        assert "***" in told
        assert login[:4] not in told

    async def test_its_codes_say_whose_fault_it_is(self, provider: Any, gateway: HttpProvider) -> None:
        gateway.plan(Answer(400, b'{"code": 21606, "message": "not your number"}'))
        waiting = await sent()
        assert (waiting.state, waiting.attempts) == ("queued", 0)
        await get_model("Delivery").all().update(due_at=now() - timedelta(seconds=1))
        gateway.plan(Answer(400, b'{"code": 21211, "message": "no valid number"}'))
        async with Engine("test") as engine:
            await engine.flush()
        assert await state_of(waiting) == ("failed", "Failed")
        assert "21211 no valid number" in (await waiting.message).error


class TestPlayed:
    """The dev mailbox plays provider and recipient."""

    @pytest.fixture
    def settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        return {**settings, "MAIL_MODE": "catch"}

    async def test_receipts_and_answers(self, host: Any) -> None:
        delivery = await sent()
        caught = await get_model("CaughtEmail").get()
        await caught.receipt("delivered")
        assert (await get_model("Receipt").get()).state == "delivered"
        answer = await caught.text_back("On my way")
        assert (answer.direction, answer.email_from, answer.parent_id) == ("Inbound", ANN, delivery.message_id)
        second = await sent()
        await (await get_model("CaughtEmail").all().order_by("-id").first()).receipt("failed")
        assert (await state_of(second))[0] == "failed"
