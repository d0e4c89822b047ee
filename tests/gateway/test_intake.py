"""Mail that is brought: by LMTP from a real Postfix, by webhooks, as files; kept before it is thanked for."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from core.gateway import spool
from core.gateway.intake import deal_with_what_comes, identity, take_in, take_in_reply, with_envelope
from core.gateway.lmtp import listen
from core.mail.parse import parse
from core.runtime import Runtime, get_model
from core.web.api_inbound import AT_ONCE
from core.web.app import create_app
from tests.faults.locking import locked
from tests.gateway.conftest import TOKEN, change_settings, mail
from tests.servers.free_port import free_port
from tests.servers.postfix import Postfix

pytestmark = pytest.mark.anyio

SECRET = {"x-webhook-secret": "brought"}
RECEIVE, REPLY = "/api/email/webhook/receive", "/webhooks/email_receive"


@pytest.fixture
def settings() -> dict[str, object]:
    return {"MAIL_DOMAIN": "our.test", "CRON_POLL_SECONDS": 0.2, "WEBHOOK_SECRET": "brought"}


@pytest.fixture
async def caller(host: Runtime) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=create_app())
    async with httpx2.AsyncClient(transport=transport, base_url="http://postroom.test") as client:
        yield client


@asynccontextmanager
async def working() -> AsyncIterator[None]:
    """What a worker does about inbound mail."""
    stop = asyncio.Event()
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(deal_with_what_comes(stop))
        group.create_task(listen(stop))
        try:
            yield
        finally:
            stop.set()


async def rows(count: int, state: str | None = None) -> list[Any]:
    """Return the spool once so many mails are in it, all in a state."""
    async with asyncio.timeout(20):
        while True:
            found = list(await get_model("InboundEmail").all().order_by("id"))
            if len(found) >= count and all(state in (None, one.state) for one in found):
                return found
            await asyncio.sleep(0.02)


async def test_postfix_delivers_by_lmtp(host: Runtime) -> None:
    port = free_port()
    change_settings(host, LMTP_LISTEN=f"127.0.0.1:{port}")

    def send(postfix: Postfix) -> None:
        with smtplib.SMTP("127.0.0.1", postfix.port) as client:
            client.sendmail("bounce@b.test", ["nobody@our.test", "more@our.test"], mail("By Postfix", to="list@b.test"))

    with Postfix({"our.test": f"lmtp:inet:127.0.0.1:{port}"}) as postfix:
        async with working():
            await asyncio.to_thread(send, postfix)
            (row,) = await rows(1, "unmatched")
    parsed = parse(await row.content())
    assert row.source.startswith("lmtp:")
    assert parsed.return_path == "bounce@b.test"
    assert {one.address for one in parsed.recipients[:2]} == {"nobody@our.test", "more@our.test"}


async def lmtp(port: int, *recipients: str) -> list[bytes]:
    """Hand one mail over, and return the replies to RCPT and to the mail."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"LHLO x\r\nMAIL FROM:<>\r\n" + b"".join(b"RCPT TO:<%b>\r\n" % one.encode() for one in recipients))
        lines = [await reader.readline() for _ in range(1 + 6 + 1 + len(recipients))][-len(recipients) :]
        if not any(line.startswith(b"250") for line in lines):
            return lines
        writer.write(b"DATA\r\n" + mail("Once") + b".\r\n")
        await reader.readline()
        return [*lines, await reader.readline()]
    finally:
        writer.close()


@asynccontextmanager
async def listening(host: Runtime) -> AsyncIterator[int]:
    port = free_port()
    change_settings(host, LMTP_LISTEN=f"127.0.0.1:{port}")
    stop = asyncio.Event()
    task = asyncio.create_task(listen(stop))
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                break
            except OSError:
                await asyncio.sleep(0.01)
    writer.close()
    yield port
    stop.set()
    await task


async def test_row_44_a_mail_that_is_handed_over_twice_is_kept_once(host: Runtime) -> None:
    async with listening(host) as port:
        for _ in range(3):
            assert (await lmtp(port, "a@our.test"))[-1].startswith(b"250 2.0.0")
        assert len(await rows(1)) == 1
        assert (await lmtp(port, "b@our.test"))[-1].startswith(b"250 2.0.0")
        assert len(await rows(2)) == 2


async def test_nobody_relays_through_us(host: Runtime) -> None:
    async with listening(host) as port:
        assert (await lmtp(port, "a@elsewhere.test"))[0].startswith(b"550 5.7.1")


async def test_two_workers_of_a_machine_share_the_address(host: Runtime) -> None:
    async with listening(host) as port:
        stop = asyncio.Event()
        second = asyncio.create_task(listen(stop))
        await asyncio.sleep(0.05)
        assert not second.done()
        assert (await lmtp(port, "a@our.test"))[-1].startswith(b"250")
        stop.set()
        await second


# Webhooks.


async def test_a_raw_mail_comes_with_its_envelope(caller: httpx2.AsyncClient) -> None:
    headers = {**SECRET, "x-envelope-from": "bounce@b.test", "x-envelope-to": "a@our.test, b@our.test"}
    answer = await caller.post(RECEIVE, content=mail(), headers={**headers, "content-type": "message/rfc822"})
    assert (answer.status_code, answer.json()["known"]) == (200, False)
    row = await get_model("InboundEmail").get(id=answer.json()["id"])
    parsed = parse(await row.content())
    assert parsed.return_path == "bounce@b.test"
    assert [one.address for one in parsed.recipients][:2] == ["a@our.test", "b@our.test"]


async def test_providers_wrap_it(caller: httpx2.AsyncClient) -> None:
    raw = mail().decode()
    form = {"email": raw, "envelope": '{"to": ["a@our.test"], "from": "k@b.test"}'}
    bodies: list[dict[str, Any]] = [
        {"data": form},
        {"files": {**{name: (None, value) for name, value in form.items()}, "attachment": ("x.bin", b"x")}},
        {"json": {"RawEmail": raw, "OriginalRecipient": "b@our.test"}},
        {"data": {"body-mime": raw, "recipient": "c@our.test", "sender": ""}},
    ]
    for number, body in enumerate(bodies):
        answer = await caller.post(RECEIVE + "/mime" * (number == 3), headers=SECRET, **body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["known"] is (number == 1)


async def test_i9_without_a_proof_nothing_is_stored(host: Runtime, caller: httpx2.AsyncClient) -> None:
    for headers in ({}, {"x-webhook-secret": "wrong"}, {"authorization": "Bearer "}):
        answer = await caller.post(RECEIVE, content=mail(), headers=headers)
        assert answer.status_code == 403
    change_settings(host, WEBHOOK_SECRET=type(host.settings.WEBHOOK_SECRET)(""))
    assert (await caller.post(RECEIVE, content=mail(), headers={"x-webhook-secret": ""})).status_code == 403
    assert not await get_model("InboundEmail").exists()


async def test_strangers_who_are_slow_keep_nobody_waiting_who_brings_a_secret(host: Runtime) -> None:
    app = create_app()
    app.state.receiving_of_strangers = asyncio.Semaphore(0)
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://postroom.test") as client:
        assert (await client.post(RECEIVE, content=mail(), headers=SECRET)).status_code == 200


@pytest.mark.parametrize("body", [b"", b" \r\n"])
async def test_no_mail_is_no_mail(caller: httpx2.AsyncClient, body: bytes) -> None:
    assert (await caller.post(RECEIVE, content=body, headers=SECRET)).status_code == 422


async def test_i16_a_mail_that_is_too_large_is_refused(
    host: Runtime, caller: httpx2.AsyncClient, reply_to: str
) -> None:
    raw = mail(to=reply_to)
    for path in (RECEIVE, REPLY):
        change_settings(host, MAX_MAIL_BYTES=len(raw))
        assert (await caller.post(path, content=raw + b"x", headers=SECRET)).status_code == 413
        assert (await caller.post(path, content=raw, headers=SECRET)).status_code == 200
    assert await get_model("InboundEmail").all().count() == 2


async def test_row_45_a_provider_that_repeats_and_thirty_at_once_make_one(caller: httpx2.AsyncClient) -> None:
    async def bring() -> int:
        return (await caller.post(RECEIVE, content=mail(), headers=SECRET)).status_code

    assert set(await asyncio.gather(*(bring() for _ in range(30)))) == {200}
    for _ in range(10):
        assert await bring() == 200
    assert await get_model("InboundEmail").all().count() == 1


async def test_row_45_a_database_that_is_away_is_told(host: Runtime, caller: httpx2.AsyncClient) -> None:
    async with locked(host):
        if host.database.dialect.name == "sqlite":
            await host.database.execute("PRAGMA busy_timeout = 50")
            answer = await caller.post(RECEIVE, content=mail(), headers=SECRET)
            assert answer.status_code == 503
    assert (await caller.post(RECEIVE, content=mail(), headers=SECRET)).status_code == 200


async def test_002_a_reply_address_is_the_proof(caller: httpx2.AsyncClient, reply_to: str) -> None:
    answers = []
    for to in (reply_to, f"catchall+{'0' * 32}@our.test", "leads@our.test", reply_to[:-12] + "@our.test"):
        raw = mail(to=to, subject=to)
        answers.append(await caller.post(REPLY, content=raw, headers={"content-type": "text/raw"}))
    assert {(one.status_code, one.text) for one in answers} == {(200, "OK")}
    (row,) = await get_model("InboundEmail").all()
    assert row.source.startswith(spool.OPEN)


async def test_002_rubbish_is_answered_alike(caller: httpx2.AsyncClient) -> None:
    for body in (b"", b"\0" * 100, b"To: " + b"(" * 10_000, b"x" * 100_000):
        answer = await caller.post(REPLY, content=body, headers={"content-type": "text/raw"})
        assert (answer.status_code, answer.text) == (200, "OK")
    assert not await get_model("InboundEmail").exists()


async def test_of_what_anybody_may_bring_only_so_much_is_dealt_with_at_a_time(
    caller: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = most = 0

    async def slowly(raw: bytes) -> bool:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.01)
        now -= 1
        return False

    monkeypatch.setattr("core.gateway.intake.take_in_reply", slowly)
    await asyncio.gather(*(caller.post(REPLY, content=mail()) for _ in range(3 * AT_ONCE)))
    assert most == AT_ONCE


async def test_i6_what_anybody_may_bring_vouches_for_nobody(host: Runtime, reply_to: str) -> None:
    change_settings(host, TRUSTED_AUTHSERV_ID="mx.our.test")
    forged = b"Authentication-Results: mx.our.test; dmarc=pass header.from=customer.test\r\n"
    assert await take_in_reply(forged + mail(to=reply_to))
    assert await take_in(forged + mail(to=reply_to, subject="Else"), identity("lmtp", b"x")) is not None
    async with working():
        first, second = await rows(2, "processed")
    assert first.authentication["verdict"] == "none"
    assert second.authentication["verdict"] == "pass"


@pytest.fixture
async def reply_to(host: Runtime) -> str:
    """The reply address of a message that was sent to Ada."""
    await get_model("Message").create(
        direction="Outbound", subject="Hello", message_id="<1@our.test>", tracking_identifier=TOKEN, send_state="Sent"
    )
    return f"catchall+{TOKEN}@our.test"


def test_an_envelope_writes_no_header_of_its_own() -> None:
    raw = with_envelope(b"Subject: x\r\n\r\n", "a\r\nBcc: x@b.test", ["b\r\nX: y"])
    assert raw == b"Return-Path: <aBcc: x@b.test>\r\nDelivered-To: bX: y\r\nSubject: x\r\n\r\n"


def test_an_envelope_that_is_no_text_has_an_identity_too() -> None:
    assert identity("webhook", b"x", "", ["\ud800@our.test"]).startswith("webhook:")


def test_an_identity_is_that_of_content_and_envelope_together() -> None:
    found = {identity("a", b"x"), identity("b", b"x"), identity("a", b"x", "y"), identity("a", b"x", "", ["y"])}
    assert len(found) == 4
