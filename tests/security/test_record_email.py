"""Mail that a program sends from a record: what it may not be made to send, to name or to tell."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.message import EmailMessage
from html import escape
from typing import Any

import pytest

from core.delivery.engine import Engine
from core.runtime import get_model
from tests.web.browser import Browser
from tests.web.conftest import *  # noqa: F403 - the desk and its people
from tests.web.conftest import Visitor, World

pytestmark = pytest.mark.anyio


@pytest.fixture
async def order(world: World) -> dict[str, Any]:
    server = await get_model("OutgoingMailServer").create(
        name="Acme", server="127.0.0.1", use_ssl=False, from_domains=["acme.example"]
    )
    table = await get_model("ModelRegistry").get(identifier="Ticket")
    return {
        "tableId": table.pk,
        "recordId": world.ticket.pk,
        "smtpIntegrationId": server.pk,
        "fromIdentity": {"name": "Sales", "email": "sales@acme.example"},
        "to": ["lead@example.org"],
        "subject": "Hi",
        "body": "<p>Hi</p>",
    }


async def send(browser: Browser, order: dict[str, Any], **changes: Any) -> int:
    answer = await browser.client.post("/api/email/send", json=order | changes)
    assert answer.status_code < 500, answer.text
    return int(answer.status_code)


async def caught() -> EmailMessage:
    """Send what is queued, and return the last mail."""
    async with Engine() as engine:
        await engine.drain()
    row = await get_model("CaughtEmail").all().order_by("-id").first()
    mail = message_from_bytes(bytes(row.raw_mail), policy=policy.default)
    assert isinstance(mail, EmailMessage)
    return mail


@pytest.mark.parametrize(
    "path",
    [
        *("/etc/passwd", "file:///etc/passwd", "https://evil.example/x", "../../config.yaml", "\\\\host\\share"),
        *("/space-1-table-1-../../../etc/passwd", "%2e%2e/config.yaml", "/space-1-table-{}-x/../y"),
    ],
)
async def test_s10_a_path_opens_no_file_of_the_machine(visitor: Visitor, order: dict[str, Any], path: str) -> None:
    path = path.format(order["tableId"])
    assert await send(await visitor("ann"), order, attachments=[{"path": path}]) in (404, 422)
    assert not await get_model("Message").all().exists()


async def test_t7_nobody_mails_himself_another_s_file(visitor: Visitor, order: dict[str, Any], world: World) -> None:
    files, eve = get_model("Attachment"), await get_model("User").get(login="eve")
    loose = await files.new_path("Ticket", eve.company_id, "loose.pdf")
    await files.keep("loose.pdf", b"%PDF", path=loose, created_by=eve)
    hung = await files.new_path("Ticket", eve.company_id, "hung.pdf")
    await files.keep("hung.pdf", b"%PDF", path=hung, res_model="Ticket", res_id=world.foreign.pk)
    for path in (loose, hung):
        assert await send(await visitor("ann"), order, attachments=[{"path": path}]) == 404
    assert not await get_model("Message").all().exists()


async def test_s11_from_is_of_the_server_s_domains(visitor: Visitor, order: dict[str, Any]) -> None:
    ann = await visitor("ann")
    for email in (
        "ceo@bank.example",
        "a@acme.example.evil.example",
        "a@evil.example,b@acme.example",
        "a@xacme.example",
    ):
        assert await send(ann, order, fromIdentity={"name": "x", "email": email}) in (400, 422)
    assert not await get_model("Message").all().exists()


@pytest.mark.parametrize(
    "hostile", ["<img src=x onerror=alert(1)>", "{{field:secret}} {{ 7*7 }}", "]]>", "x\r\nBcc: spy@evil.example"]
)
async def test_t6_a_record_s_words_are_only_words(
    visitor: Visitor, order: dict[str, Any], world: World, hostile: str
) -> None:
    world.ticket.name = hostile
    await world.ticket.save()
    ann = await visitor("ann")
    assert await send(ann, order, subject="{{field:name}}", body="<p>{{field:name}}</p>") == 202
    mail = await caught()
    html = mail.get_body(("html",))
    assert mail["Bcc"] is None
    assert html is not None
    assert f"<p>{'<br>'.join(escape(hostile).splitlines())}</p>" in html.get_content()
    assert mail["Subject"] == " ".join(hostile.split())


@pytest.mark.parametrize("slug", ["secret", "password_hash", "user.password_hash", "_meta", "pk", "contact_id"])
async def test_t3_no_field_token_tells_a_secret(visitor: Visitor, order: dict[str, Any], slug: str) -> None:
    assert await send(await visitor("root"), order, body=f"{{{{field:{slug}}}}}") == 422
    context = {name: order[name] for name in ("tableId", "recordId")}
    answer = await (await visitor("root")).client.post("/api/email/recordContext", json=context)
    assert slug not in [one["id"] for one in answer.json()["fields"]]


async def test_t3_a_field_that_is_closed_later_is_not_told(
    visitor: Visitor, order: dict[str, Any], world: World
) -> None:
    assert await send(await visitor("ann"), order, body="{{field:contact}}") == 202
    access = get_model("ModelAccess").filter(model__identifier="Contact")
    await access.delete()
    async with Engine() as engine:
        await engine.drain()
    assert not await get_model("CaughtEmail").all().exists()
    assert "may not read" in (await get_model("Message").get()).error


async def test_i1_a_reply_address_is_of_one_mail(visitor: Visitor, order: dict[str, Any]) -> None:
    ann = await visitor("ann")
    for _ in range(2):
        assert await send(ann, order) == 202
    tokens = await get_model("Message").all().values_list("tracking_identifier", flat=True)
    assert len({*tokens}) == 2
    assert all(len(bytes.fromhex(token)) == 16 for token in tokens)
    answer = await ann.client.get(f"/api/table/{order['tableId']}/record/{order['recordId']}/comments/get")
    assert not any(token in answer.text for token in tokens)


async def test_h1_comments_tell_no_script(visitor: Visitor, order: dict[str, Any]) -> None:
    ann = await visitor("ann")
    hostile = (
        '<p onclick="x()">a<script>alert(1)</script><a href="javascript:x">b</a><iframe src="//evil"></iframe></p>'
    )
    assert await send(ann, order, body=hostile) == 202
    answer = await ann.client.get(f"/api/table/{order['tableId']}/record/{order['recordId']}/comments/get")
    (comment,) = answer.json()
    for bad in ("script", "onclick", "iframe"):
        assert bad not in comment["body"]
    assert answer.headers["content-type"] == "application/json"
