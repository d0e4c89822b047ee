from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from hashlib import sha256
from hmac import new as hmac
from typing import Any

import httpx2
import pytest

from core.api import UserError, get_model
from core.delivery.engine import Engine
from core.web.app import create_app
from tests.servers.http_provider import Answer, Asked, HttpProvider

pytestmark = pytest.mark.anyio
ANN = "+4915112345601"


def accept(asked: Asked) -> Answer:
    """Answer as the Cloud API does."""
    return Answer(body=json.dumps({"messages": [{"id": f"wamid.{asked.json['to'][-2:]}"}]}).encode())


@pytest.fixture
async def provider(host: Any, gateway: HttpProvider) -> Any:
    gateway.make = accept
    return await get_model("WhatsappProvider").create(
        name="Meta", url=gateway.url.removesuffix("/send"), sender="1055", secret="token", webhook_secret="app secret",
        verify_token="word",
    )  # fmt: skip


@pytest.fixture
async def caller(host: Any) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=create_app())
    async with httpx2.AsyncClient(transport=transport, base_url="https://office.example") as client:
        yield client


async def sent(text: str = "Your table is ready.", **options: Any) -> Any:
    message = await get_model("Message").queue_message("whatsapp", None, [ANN], text, **options)
    async with Engine("test") as engine:
        await engine.flush()
    return await get_model("Delivery").get(message=message)


async def call(caller: Any, provider: Any, value: Any, secret: str = "app secret", number: str = "1055") -> int:
    value = {"metadata": {"phone_number_id": number}, **value}
    body = json.dumps({"entry": [{"changes": [{"value": value}]}]}).encode()
    signature = "sha256=" + hmac(secret.encode(), body, sha256).hexdigest()
    path = f"/api/whatsapp/webhook/{provider.pk}"
    return int((await caller.post(path, content=body, headers={"X-Hub-Signature-256": signature})).status_code)


async def test_a_text_is_sent_in_meta_s_form(provider: Any, gateway: HttpProvider) -> None:
    delivery = await sent("Hi {to}")
    (asked,) = gateway.asked
    assert (asked.target, asked.headers["authorization"]) == ("/1055/messages", "Bearer token")
    assert asked.json == {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": ANN,
        "biz_opaque_callback_data": str(delivery.pk),
        "type": "text",
        "text": {"body": "Hi {to}", "preview_url": False},
    }
    assert (delivery.state, delivery.remote_id) == ("sent", f"{provider.key}/wamid.01")


async def test_an_approved_template_opens_a_conversation(provider: Any, gateway: HttpProvider) -> None:
    template = {"name": "table_ready", "language": "de", "parameters": ["Ann {to}", 4]}
    await sent(options={"template": template})
    assert gateway.asked[0].json["type"] == "template"
    assert gateway.asked[0].json["template"] == {
        "name": "table_ready",
        "language": {"code": "de"},
        "components": [
            {"type": "body", "parameters": [{"type": "text", "text": "Ann {to}"}, {"type": "text", "text": "4"}]}
        ],
    }
    nameless = await sent(options={"template": {"language": "de"}})
    assert nameless.state == "failed"


@pytest.mark.parametrize(
    ("code", "status", "state", "attempts"),
    [(131030, 400, "failed", 0), (190, 401, "queued", 0), (130429, 400, "queued", 0), (131056, 400, "queued", 1)],
)
async def test_its_codes_say_whose_fault_it_is(
    provider: Any, gateway: HttpProvider, code: int, status: int, state: str, attempts: int
) -> None:
    gateway.plan(Answer(status, json.dumps({"error": {"code": code, "message": "no, token"}}).encode()))
    delivery = await sent()
    assert (delivery.state, delivery.attempts) == (state, attempts)
    assert f"{code} no, ***" in (await delivery.message).error


async def test_read_receipts_come_in_any_order(provider: Any, caller: Any) -> None:
    delivery = await sent()
    status = {"id": "wamid.01", "timestamp": "1767225600", "biz_opaque_callback_data": str(delivery.pk)}
    for state in ("read", "sent", "delivered", "read"):
        assert await call(caller, provider, {"statuses": [{**status, "status": state}]}) == 204
    receipts = await get_model("Receipt").filter(delivery=delivery).order_by("id")
    assert [one.state for one in receipts] == ["read", "accepted", "delivered"]
    assert receipts[0].at == datetime(2026, 1, 1, tzinfo=UTC)
    assert await call(caller, provider, {"statuses": [{**status, "status": "failed"}]}, secret="guess") == 403
    assert await call(caller, provider, {"statuses": [{**status, "status": "failed"}]}, number="77") == 204
    await delivery.refresh_from_db()
    assert delivery.state == "sent"


async def test_a_failed_receipt_says_why(provider: Any, caller: Any) -> None:
    delivery = await sent()
    error = {"code": 131047, "title": "Re-engagement message"}
    await call(caller, provider, {"statuses": [{"id": "wamid.01", "status": "failed", "errors": [error]}]})
    message = await delivery.message
    assert (message.send_state, message.error) == ("Failed", f"{ANN}: 131047 Re-engagement message")


async def test_answers_come_in(provider: Any, caller: Any) -> None:
    delivery = await sent()
    told = {"from": ANN[1:], "id": "wamid.in", "timestamp": "1767225600", "type": "text", "text": {"body": "Thanks"}}
    picture = {"from": "4930999", "id": "wamid.in2", "type": "image"}
    for _ in range(2):
        assert await call(caller, provider, {"messages": [told, picture]}) == 204
    first, second = await get_model("Message").filter(direction="Inbound").order_by("id")
    assert (first.text, first.email_from, first.parent_id) == ("Thanks", ANN, delivery.message_id)
    assert (second.text, second.parent_id) == ("(image that cannot be shown here)", None)


async def test_meta_may_prove_the_address(provider: Any, caller: Any) -> None:
    path = f"/api/whatsapp/webhook/{provider.pk}"
    asked = {"hub.mode": "subscribe", "hub.verify_token": "word", "hub.challenge": "1158201444"}
    answer = await caller.get(path, params=asked)
    assert (answer.status_code, answer.text) == (200, "1158201444")
    assert answer.headers["content-type"].startswith("text/plain")
    for wrong in ({**asked, "hub.verify_token": "other"}, {"hub.challenge": "1"}):
        assert (await caller.get(path, params=wrong)).status_code == 403


async def test_a_record_that_cannot_work_is_refused(host: Any) -> None:
    for values, words in (
        ({"kind": "meta"}, "Meta needs sender"),
        ({"kind": "http", "url": "ftp://x.example", "body": {"a": "{to}"}}, "Give the url"),
        ({"kind": "http", "url": "https://x.example"}, "Give the body"),
        ({"kind": "http", "url": "https://x.example", "body": {"a": "{who}"}}, r"no place \{who\}"),
        ({"kind": "dev", "most_at_once": 0}, "most_at_once"),
    ):
        with pytest.raises(UserError, match=words):
            await get_model("WhatsappProvider").create(name="Wrong", **values)


async def test_a_secret_does_not_follow_to_another_host(provider: Any) -> None:
    provider.url = "https://elsewhere.example"
    with pytest.raises(UserError, match="enter the secret again"):
        await provider.save()
    provider.secret = "new token"
    await provider.save()
