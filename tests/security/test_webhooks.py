"""The bounce webhook and a hostile caller: SECURITY I9, W4, H8. Each test names the row it stands for."""

from __future__ import annotations

import hmac
import json
import time
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import SecretStr

from core import clock
from core.mail.return_path import return_path
from core.runtime import Runtime, get_model
from core.web.app import create_app

pytestmark = pytest.mark.anyio

PATH = "/api/email/webhook/bounce"
SECRET = "correct horse battery staple"
MAILGUN_KEY = "key-mailgun"
SENDGRID_KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def settings() -> dict[str, object]:
    public = SENDGRID_KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return {
        "MAIL_DOMAIN": "our.test",
        "WEBHOOK_SECRET": SECRET,
        "MAILGUN_SIGNING_KEY": MAILGUN_KEY,
        "SENDGRID_PUBLIC_KEY": b64encode(public).decode(),
    }


@pytest.fixture
async def message(host: Runtime) -> Any:
    """A sent message, <1@our.test>, to ada@customer.test."""
    message = await get_model("Message").create(
        direction="Outbound", subject="Invoice", message_id="<1@our.test>", tracking_identifier="f" * 32
    )
    await get_model("Delivery").create(message=message, recipient="ada@customer.test", state="sent", due_at=clock.now())
    return message


@pytest.fixture
async def client(message: Any) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=create_app())
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client


def bounce(**values: Any) -> bytes:
    said = {"event": "bounce", "bounce_type": "hard", "email": "ada@customer.test", "message_id": "<1@our.test>"}
    return json.dumps({**said, **values}).encode()


async def suppressed_addresses() -> list[str]:
    found: list[str] = await get_model("Suppression").all().values_list("address", flat=True)
    return found


def change(host: Runtime, **values: object) -> None:
    host.configuration = replace(host.configuration, settings=host.settings.model_copy(update=values))


def basic(password: str, user: str = "any") -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def signed(body: bytes, at: float | None = None, secret: str = SECRET) -> dict[str, str]:
    timestamp = str(int(time.time() if at is None else at))
    signature = hmac.digest(secret.encode(), timestamp.encode() + b"." + body, "sha256").hex()
    return {"X-Webhook-Timestamp": timestamp, "X-Webhook-Signature": f"sha256={signature}"}


def mailgun(token: str = "t" * 50, at: float | None = None, key: str = MAILGUN_KEY, **values: Any) -> bytes:
    timestamp = str(int(time.time() if at is None else at))
    signature = hmac.digest(key.encode(), f"{timestamp}{token}".encode(), "sha256").hex()
    data = {
        "event": "failed",
        "severity": "permanent",
        "id": "mg1",
        "recipient": "ada@customer.test",
        "delivery-status": {"bounce-type": "hard"},
        "message": {"headers": {"message-id": "1@our.test"}},
        **values,
    }
    said = {"timestamp": timestamp, "token": token, "signature": signature}
    return json.dumps({"signature": said, "event-data": data}).encode()


def sendgrid(body: bytes, at: float | None = None, key: Any = SENDGRID_KEY) -> dict[str, str]:
    timestamp = str(int(time.time() if at is None else at))
    signature = key.sign(timestamp.encode() + body, ec.ECDSA(SHA256()))
    return {
        "X-Twilio-Email-Event-Webhook-Signature": b64encode(signature).decode(),
        "X-Twilio-Email-Event-Webhook-Timestamp": timestamp,
    }


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {SECRET}"},
        {"Authorization": basic(SECRET)},
        {"X-Webhook-Secret": SECRET},
    ],
)
async def test_w4_the_secret_lets_in(client: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    answer = await client.post(PATH, content=bounce(), headers={"Content-Type": "text/plain", **headers})
    assert (answer.status_code, answer.json()) == (200, {"new": 1, "known": 0, "unmatched": 0, "passed_over": 0})
    assert await suppressed_addresses() == ["ada@customer.test"]


WRONG = [
    [],
    [("Authorization", "")],
    [("Authorization", "Bearer")],
    [("Authorization", "Bearer ")],
    [("Authorization", f"Bearer {SECRET}x")],
    [("Authorization", f"Bearer {SECRET[:-1]}")],
    [("Authorization", f"Digest {SECRET}")],
    [("Authorization", SECRET)],
    [("Authorization", basic(""))],
    [("Authorization", basic("wrong", user=SECRET))],
    [("Authorization", "Basic %%%")],
    [("Authorization", b"Basic \xc3\xa9")],
    [("X-Webhook-Secret", "")],
    [("X-Webhook-Secret", SECRET.upper())],
    [("Authorization", f"Bearer {SECRET}"), ("Authorization", f"Bearer {SECRET}")],
    [("X-Webhook-Secret", SECRET), ("X-Webhook-Secret", "wrong")],
    [("X-Webhook-Secret", SECRET), ("Authorization", "Bearer wrong")],
    [("X-Webhook-Secret", SECRET.encode() + b"\xe9")],
    [("Authorization", b"Bearer \xc3\xa9")],
    [("Cookie", f"webhook_secret={SECRET}")],
    [("X-Webhook-Signature", "sha256=")],
    [("X-Webhook-Signature", "sha256=" + "0" * 64), ("X-Webhook-Timestamp", "0")],
]


@pytest.mark.parametrize("headers", WRONG, ids=range(len(WRONG)))
async def test_w4_nothing_else_does_and_the_operator_sees_it(client: httpx2.AsyncClient, headers: Any) -> None:
    answer = await client.post(f"{PATH}?secret={SECRET}", content=bounce(secret=SECRET), headers=headers)
    assert answer.status_code == 403
    assert "WEBHOOK_SECRET" not in answer.text
    assert SECRET not in answer.text
    assert await suppressed_addresses() == []
    refusal = await get_model("WebhookRefusal").get()
    assert (refusal.webhook, refusal.count) == ("bounce", 1)
    assert SECRET not in refusal.reason


@pytest.mark.parametrize("configured", ["", "   "])
@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer "}, {"Authorization": basic("")}, {"X-Webhook-Secret": ""}, "signed", "mailgun"],
)
async def test_w4_without_a_configured_secret_nobody_is_let_in(
    host: Runtime, client: httpx2.AsyncClient, configured: str, headers: Any
) -> None:
    change(host, WEBHOOK_SECRET=SecretStr(configured), MAILGUN_SIGNING_KEY=SecretStr(""), SENDGRID_PUBLIC_KEY="")
    body = mailgun(key="") if headers == "mailgun" else bounce()
    headers = signed(body, secret=configured) if headers == "signed" else {} if headers == "mailgun" else headers
    assert (await client.post(PATH, content=body, headers=headers)).status_code == 403
    assert await suppressed_addresses() == []
    assert "WEBHOOK_SECRET" in (await get_model("WebhookRefusal").get()).reason


async def test_w4_refusals_are_counted_and_told_to_administrators_once(client: httpx2.AsyncClient) -> None:
    root = await get_model("User").create(login="root", name="Root", is_admin=True)
    for _ in range(20):
        await client.post(PATH, content=bounce())
    assert await get_model("Notification").filter(user=root).count() == 1


async def test_i9_a_signature_holds_for_its_body_and_five_minutes(client: httpx2.AsyncClient) -> None:
    body = bounce()
    for at in (time.time() - 400, time.time() + 400):
        assert (await client.post(PATH, content=body, headers=signed(body, at))).status_code == 403
    assert (await client.post(PATH, content=body + b" ", headers=signed(body))).status_code == 403
    assert await suppressed_addresses() == []
    assert (await client.post(PATH, content=body, headers=signed(body, time.time() - 200))).status_code == 200
    assert await suppressed_addresses() == ["ada@customer.test"]


async def test_i9_a_replay_does_nothing(client: httpx2.AsyncClient) -> None:
    body = bounce()
    headers = signed(body)
    await client.post(PATH, content=body, headers=headers)
    await get_model("Suppression").all().delete()
    await get_model("MailEvent").all().delete()
    answer = await client.post(PATH, content=body, headers=headers)
    assert (answer.status_code, answer.json()["new"]) == (200, 0)
    assert await suppressed_addresses() == []


async def test_i9_mailguns_signature(client: httpx2.AsyncClient) -> None:
    for wrong in (mailgun(key="wrong"), mailgun(at=time.time() - 13 * 3600), mailgun(token="")):
        assert (await client.post(PATH, content=wrong)).status_code == 403
    assert await suppressed_addresses() == []
    assert (await client.post(PATH, content=mailgun())).status_code == 200
    assert await suppressed_addresses() == ["ada@customer.test"]
    # Its signature covers no body, so the same one under another body is refused.
    other = await client.post(PATH, content=mailgun(recipient="bob@customer.test"))
    assert other.status_code == 422


async def test_i9_sendgrids_signature(client: httpx2.AsyncClient) -> None:
    event = {"event": "bounce", "type": "bounce", "email": "ada@customer.test", "smtp-id": "<1@our.test>"}
    body = json.dumps([{**event, "sg_event_id": "sg1"}]).encode()
    stranger = ec.generate_private_key(ec.SECP256R1())
    wrong = (sendgrid(body, key=stranger), sendgrid(body + b" "), sendgrid(body, at=time.time() - 400))
    for headers in wrong:
        assert (await client.post(PATH, content=body, headers=headers)).status_code == 403
    assert await suppressed_addresses() == []
    assert (await client.post(PATH, content=body, headers=sendgrid(body))).status_code == 200
    assert await suppressed_addresses() == ["ada@customer.test"]


async def test_i9_an_authenticated_caller_suppresses_only_who_we_wrote_to(
    host: Runtime, message: Any, client: httpx2.AsyncClient
) -> None:
    headers = {"Authorization": f"Bearer {SECRET}"}
    forged = return_path(("another key",), "bounce", "our.test", message.pk)
    for body in (
        bounce(email="boss@customer.test"),
        bounce(message_id="<2@our.test>"),
        bounce(message_id="", return_path=forged),
    ):
        answer = await client.post(PATH, content=body, headers=headers)
        assert (answer.status_code, answer.json()["unmatched"]) == (200, 1)
    assert await suppressed_addresses() == []


async def test_i9_sns_is_shown_its_wish_and_nothing_is_opened(client: httpx2.AsyncClient) -> None:
    await get_model("User").create(login="root", name="Root", is_admin=True)
    headers = {"Authorization": basic(SECRET), "Content-Type": "text/plain; charset=UTF-8"}
    asked = {"Type": "SubscriptionConfirmation", "TopicArn": "arn:aws:sns:eu-west-1:1:bounces"}
    for host_name, words in (
        ("sns.eu-west-1.amazonaws.com", "open this address once"),
        ("sns.eu-west-1.amazonaws.com.evil.test", "do not open it"),
        (r"evil.test\@sns.eu-west-1.amazonaws.com", "do not open it"),
        ("evil.test@sns.eu-west-1.amazonaws.com", "do not open it"),
        ("sns.eu-west-1.amazonaws.com:8443", "do not open it"),
        ("[", "do not open it"),
        ("127.0.0.1:6379", "do not open it"),
    ):
        await get_model("Notification").all().delete()
        body = json.dumps({**asked, "SubscribeURL": f"https://{host_name}/?Action=Confirm"})
        assert (await client.post(PATH, content=body, headers=headers)).status_code == 200
        told = await get_model("Notification").get().prefetch_related("message")
        assert words in told.message.text


async def test_h8_what_a_provider_says_is_shown_as_text(message: Any, client: httpx2.AsyncClient) -> None:
    body = bounce(reason="550 <script>alert(1)</script>\x1b[31m")
    await client.post(PATH, content=body, headers={"X-Webhook-Secret": SECRET})
    entry = await get_model("Message").get(parent_id=message.pk)
    assert "<script" not in entry.body
    assert "&lt;script" in entry.body


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 50_000, b"null", b"\xff\xfe"])
async def test_what_cannot_be_read_is_said_so_and_is_nobodys_fault_here(
    client: httpx2.AsyncClient, body: bytes
) -> None:
    answer = await client.post(PATH, content=body, headers={"X-Webhook-Secret": SECRET})
    assert (answer.status_code, answer.json()["code"]) == (422, "provider_format")


async def test_a_body_beyond_all_measure_is_refused(client: httpx2.AsyncClient) -> None:
    answer = await client.post(PATH, content=b" " * 2_000_001, headers={"X-Webhook-Secret": SECRET})
    assert answer.status_code == 413
