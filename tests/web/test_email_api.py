"""Mail that a program sends from a record, by the paths and shapes of `reference/002`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest

from core.delivery.engine import Engine
from core.gateway.receive import process_pending
from core.runtime import get_model
from tests.web.browser import Browser
from tests.web.conftest import Visitor, World

pytestmark = pytest.mark.anyio

BASE = "http://mail.desk.example"
FIREFOX = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}


@pytest.fixture
def settings(settings: dict[str, object]) -> dict[str, object]:
    return {**settings, "BASE_URL": BASE}


@dataclass(frozen=True, slots=True)
class Desk:
    """What a mail needs: a table, a server with From domains, and the record."""

    table: int
    server: Any
    record: int

    def order(self, **changes: Any) -> dict[str, Any]:
        return {
            "tableId": self.table,
            "recordId": self.record,
            "smtpIntegrationId": self.server.pk,
            "fromIdentity": {"name": "Sales", "email": "sales@acme.example"},
            "to": ["lead@example.org"],
            "cc": [],
            "bcc": [],
            "subject": "Welcome {{field:name}}",
            "body": "<p>Hi {{field:name}}, {{ 7*7 }}</p>",
            "attachments": [],
        } | changes

    @property
    def comments(self) -> str:
        return f"/api/table/{self.table}/record/{self.record}/comments/get"


@pytest.fixture
async def desk(world: World) -> Desk:
    server = await get_model("OutgoingMailServer").create(
        name="Acme", server="127.0.0.1", use_ssl=False, from_domains=["acme.example"],
        from_identities=[{"name": "Sales", "email": "sales@acme.example"}],
    )  # fmt: skip
    table = await get_model("ModelRegistry").get(identifier="Ticket")
    return Desk(table.pk, server, world.ticket.pk)


async def send(browser: Browser, desk: Desk, **changes: Any) -> Any:
    return await browser.client.post("/api/email/send", json=desk.order(**changes))


async def sent_mail(index: int = -1) -> EmailMessage:
    """Send what is queued, and return one of the mails that were caught."""
    async with Engine() as engine:
        await engine.drain()
    caught = await get_model("CaughtEmail").all().order_by("id")
    mail = message_from_bytes(bytes(caught[index].raw_mail), policy=policy.default)
    assert isinstance(mail, EmailMessage)
    return mail


async def comments(browser: Browser, desk: Desk, **query: Any) -> list[dict[str, Any]]:
    answer = await browser.client.get(desk.comments, params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


def html_of(mail: EmailMessage) -> str:
    part = mail.get_body(("html",))
    assert part is not None
    return str(part.get_content())


def pixel_in(html: str) -> str:
    """Return the path of the pixel in a mail."""
    start = html.index(f"{BASE}/email/pixel/")
    return html[start : html.index('"', start)].removeprefix(BASE)


async def test_a_mail_is_queued_and_stands_on_the_timeline(visitor: Visitor, desk: Desk) -> None:
    ann = await visitor("ann")
    answer = await send(ann, desk)
    assert answer.status_code == 202, answer.text
    ordered = answer.json()
    assert ordered["status"] == "queued"
    assert ordered["comment"]["id"] == ordered["id"]
    assert ordered["comment"]["type"] == "email_out"
    assert ordered["comment"]["metadata"]["status"] == "queued"
    assert ordered["comment"]["metadata"]["from"] == '"Sales" <sales@acme.example>'
    (comment,) = await comments(ann, desk)
    assert (comment["id"], comment["type"], comment["author"]["name"]) == (ordered["id"], "email_out", "Ann")
    assert comment["metadata"] == ordered["comment"]["metadata"]

    mail = await sent_mail()
    assert (mail["From"], mail["To"]) == ("Sales <sales@acme.example>", "lead@example.org")
    (comment,) = await comments(ann, desk)
    assert comment["metadata"]["status"] == "sent"
    assert comment["metadata"]["messageId"] == mail["Message-ID"]
    assert comment["metadata"]["sentAt"] is not None


async def test_fields_are_those_of_the_moment_of_sending(visitor: Visitor, desk: Desk, world: World) -> None:
    ann = await visitor("ann")
    await send(ann, desk, body="<p>Hi {{ field:name }}, {{ 7*7 }} {{field:contact}} {{field:stage}}</p>")
    world.ticket.name = "Chair <b>\r\nBcc: x@evil.example"
    await world.ticket.save()
    mail = await sent_mail()
    assert mail["Subject"] == "Welcome Chair <b> Bcc: x@evil.example"
    assert mail["Bcc"] is None
    assert "Hi Chair &lt;b&gt;" in html_of(mail)
    assert "{{ 7*7 }} Carla Customer New" in html_of(mail)
    # What was sent once stays what it was.
    world.ticket.name = "Table"
    await world.ticket.save()
    (comment,) = [one for one in await comments(ann, desk) if one["type"] == "email_out"]
    assert comment["subject"] == "Welcome Chair <b> Bcc: x@evil.example"
    message = await get_model("Message").get(id=comment["id"])
    assert message_from_bytes(await message.eml(), policy=policy.default)["Subject"] == mail["Subject"]


async def test_a_held_mail_shows_what_it_would_say_now(visitor: Visitor, desk: Desk, world: World) -> None:
    ordered = (await send(await visitor("ann"), desk)).json()
    message = await get_model("Message").get(id=ordered["id"])
    await message.hold()
    assert b"Welcome Broken chair" in await message.eml()
    world.ticket.name = "Mended chair"
    await world.ticket.save()
    assert b"Welcome Mended chair" in await message.eml()
    await message.release()
    assert (await sent_mail())["Subject"] == "Welcome Mended chair"


@pytest.mark.parametrize("slug", ["nope", "secret", "id", "company_id", "contact.email", "__class__", "steps", ""])
async def test_a_field_that_there_is_not_is_refused_at_once(visitor: Visitor, desk: Desk, slug: str) -> None:
    answer = await send(await visitor("ann"), desk, subject=f"Hi {{{{field:{slug}}}}}")
    assert answer.status_code == 422, answer.text
    assert not await get_model("Message").all().exists()


async def test_a_relation_that_the_sender_may_not_read_is_no_field(visitor: Visitor, desk: Desk) -> None:
    answer = await send(await visitor("ann"), desk, body="{{field:company}}")
    assert answer.status_code == 422  # Ann's group may not read Company.


async def test_the_author_must_be_able_to_read_the_record_still(visitor: Visitor, desk: Desk, world: World) -> None:
    ann = await visitor("ann")
    await send(ann, desk)
    await get_model("Ticket").filter(id=desk.record).update(company_id=world.other_company.pk)
    async with Engine() as engine:
        await engine.drain()
    assert not await get_model("CaughtEmail").all().exists()
    message = await get_model("Message").first()
    assert "cannot be filled in" in message.error


async def test_only_domains_of_the_server_may_stand_in_from(visitor: Visitor, desk: Desk) -> None:
    ann = await visitor("ann")
    broken = ("no address", "a@acme.example>, <b@evil.example", "a@acme.example\r\nBcc: x@y.example")
    for email in ("sales@evil.example", "sales@sub.acme.example", *broken):
        answer = await send(ann, desk, fromIdentity={"name": "x", "email": email})
        assert (answer.status_code, answer.json()["code"]) == (400, "foreign_sender")
    assert (await send(ann, desk, fromIdentity={"name": "x", "email": "Sales@ACME.example"})).status_code == 202
    assert (await send(ann, desk, fromIdentity={"name": "x", "email": ""})).status_code == 422
    answer = await send(ann, desk, fromIdentity={"name": "x\r\nBcc: y@z.example", "email": "sales@acme.example"})
    assert answer.status_code == 422


async def test_a_server_of_somebody_else_is_none(visitor: Visitor, desk: Desk, world: World) -> None:
    servers = get_model("OutgoingMailServer")
    theirs = await servers.create(name="X", server="x.example", from_domains=["x.example"], company=world.other_company)
    bare = await servers.create(name="Y", server="y.example")
    ann = await visitor("ann")
    for server in (theirs.pk, 999):
        assert (await send(ann, desk, smtpIntegrationId=server)).status_code == 404
    answer = await send(ann, desk, smtpIntegrationId=bare.pk)
    assert (answer.status_code, answer.json()["code"]) == (400, "foreign_sender")
    options = (await ann.client.post("/api/email/smtpOptions", json={})).json()
    assert [one["id"] for one in options] == [desk.server.pk]
    assert options[0]["fromIdentities"] == [{"name": "Sales", "email": "sales@acme.example"}]
    assert (options[0]["fromDomains"], options[0]["disablePixel"]) == (["acme.example"], False)


async def test_it_goes_by_the_server_that_was_chosen(visitor: Visitor, desk: Desk) -> None:
    await get_model("OutgoingMailServer").create(
        name="First", server="first.example", from_domains=["acme.example"], priority=1
    )
    ordered = (await send(await visitor("ann"), desk)).json()
    assert (await get_model("Message").get(id=ordered["id"])).server == str(desk.server.pk)


async def test_who_may_not_write_the_record_sends_nothing(visitor: Visitor, desk: Desk, world: World) -> None:
    assert (await send(await visitor(), desk)).status_code == 401
    assert (await send(await visitor("nora"), desk)).status_code == 403
    assert (await send(await visitor("eve"), desk)).status_code == 404
    ann = await visitor("ann")
    assert (await send(ann, desk, recordId=world.foreign.pk)).status_code == 404
    assert (await send(ann, desk, tableId=99999)).status_code == 404
    step = await get_model("ModelRegistry").get(identifier="Step")
    assert (await send(await visitor("root"), desk, tableId=step.pk)).status_code == 404
    assert not await get_model("Message").all().exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"to": []},
        {"to": "lead@example.org"},
        {"to": ["lead@example.org>\r\nRCPT TO:<x@evil.example"]},
        {"to": [""]},
        {"tableId": 2**70},
        {"recordId": -1},
        {"subject": "x\r\nBcc: y@z.example" * 60},
        {"smtpIntegrationId": None},
        {"attachments": [{"path": ""}]},
    ],
)
async def test_a_mail_that_cannot_go_is_refused(visitor: Visitor, desk: Desk, changes: dict[str, Any]) -> None:
    assert (await send(await visitor("ann"), desk, **changes)).status_code == 422
    assert not await get_model("Message").all().exists()


async def test_what_may_be_left_out_may_be_null(visitor: Visitor, desk: Desk) -> None:
    changes = dict.fromkeys(("cc", "bcc", "subject", "body", "signatureId", "attachments"))
    nameless = {"name": None, "email": "sales@acme.example"}
    answer = await send(await visitor("ann"), desk, fromIdentity=nameless, **changes)
    assert answer.status_code == 202, answer.text
    assert (await sent_mail())["From"] == "sales@acme.example"


async def test_the_same_key_sends_once(visitor: Visitor, desk: Desk) -> None:
    ann = await visitor("ann")
    key = {"Idempotency-Key": "6f1a"}
    first, second = [await ann.client.post("/api/email/send", json=desk.order(), headers=key) for _ in range(2)]
    assert (first.status_code, first.json()) == (second.status_code, second.json()) == (202, first.json())
    assert await get_model("Message").all().count() == 1
    other = await ann.client.post("/api/email/send", json=desk.order(subject="Other"), headers=key)
    assert other.status_code in (409, 422)


# Files.


async def test_an_uploaded_file_goes_along(visitor: Visitor, desk: Desk) -> None:
    user = await get_model("User").get(login="ann")
    path = await get_model("Attachment").new_path("Ticket", user.company_id, "brochure.pdf")
    await get_model("Attachment").keep("brochure.pdf", b"%PDF-1.7", path=path, created_by=user)
    ann = await visitor("ann")
    file = {"name": "other.exe", "path": path, "type": "text/html", "size": 1, "host": "https://evil.example"}
    said_of_it = dict.fromkeys(("name", "type", "size", "host"))
    assert (await send(ann, desk, attachments=[file, {"path": path} | said_of_it])).status_code == 202
    (part,) = (await sent_mail()).iter_attachments()
    assert (part.get_filename(), part.get_content_type()) == ("brochure.pdf", "application/pdf")
    (comment,) = await comments(ann, desk)
    (shown,) = comment["attachments"]
    assert (shown["name"], shown["path"], shown["type"], shown["size"]) == ("brochure.pdf", path, "application/pdf", 8)
    assert (await ann.get(shown["url"])).content == b"%PDF-1.7"


async def test_a_file_that_came_with_a_mail_goes_on_as_its_comment_shows_it(visitor: Visitor, desk: Desk) -> None:
    user = await get_model("User").get(login="eve")
    files = get_model("Attachment")
    file = await files.keep("scan.pdf", b"%PDF-1.7", res_model="Ticket", res_id=desk.record)
    hidden = await files.keep("scan.pdf", b"%PDF-1.7", created_by=user)
    record = await get_model("Ticket").get(id=desk.record)
    await record.post_message("<p>x</p>", attachments=[file], to=[])
    ann = await visitor("ann")
    (shown,) = (await comments(ann, desk))[0]["attachments"]
    assert shown["path"] == f"/space-1-table-{desk.table}-{file.uuid}-scan.pdf"
    assert (await send(ann, desk, attachments=[shown])).status_code == 202
    (part,) = (await sent_mail()).iter_attachments()
    assert part.get_content() == b"%PDF-1.7"
    for path in (shown["path"].replace(file.uuid, hidden.uuid), shown["path"] + "x", shown["path"][:-1]):
        assert (await send(ann, desk, attachments=[{"path": path}])).status_code == 404


async def test_no_file_goes_that_is_not_of_this_table_and_the_sender_s(visitor: Visitor, desk: Desk) -> None:
    files = get_model("Attachment")
    eve = await get_model("User").get(login="eve")
    of_eve = await files.new_path("Ticket", eve.company_id, "secret.pdf")
    of_contact = await files.new_path("Contact", eve.company_id, "card.pdf")
    for path in (of_eve, of_contact):
        await files.keep("x.pdf", b"%PDF", path=path, created_by=eve)
    ann = await visitor("ann")
    for path, status in (
        (of_eve, 404),
        (of_contact, 422),
        (f"/space-1-table-{desk.table}-nothing.pdf", 404),
        ("../../etc/passwd", 422),
        ("file:///etc/passwd", 422),
        (f"/space-1-table-{desk.table}", 422),
    ):
        answer = await send(ann, desk, attachments=[{"path": path}])
        assert answer.status_code == status, path
        assert path in answer.json()["detail"]
    assert not await get_model("Message").all().exists()


# What a mail may name.


async def test_the_context_of_a_record(visitor: Visitor, desk: Desk) -> None:
    ann = await visitor("ann")
    asked = {"tableId": desk.table, "recordId": desk.record}
    answer = (await ann.client.post("/api/email/recordContext", json=asked)).json()
    assert answer["emails"] == ["carla@example.org"]
    assert {"id": "name", "name": "Name"} in answer["fields"]
    assert [one["id"] for one in answer["fields"]] == ["name", "stage", "amount", "currency", "contact", "description"]
    assert (await (await visitor("nora")).client.post("/api/email/recordContext", json=asked)).status_code == 403
    contacts = await get_model("ModelRegistry").get(identifier="Contact")
    asked = {"tableId": contacts.pk, "recordId": 1}
    assert (await ann.client.post("/api/email/recordContext", json=asked)).status_code == 404


# Answers.


async def test_an_answer_becomes_a_comment(visitor: Visitor, desk: Desk) -> None:
    ann = await visitor("ann")
    ordered = (await send(ann, desk)).json()
    address = str((await sent_mail())["Reply-To"])
    token = address.partition("@")[0].removeprefix("reply-")
    assert address == f"reply-{token}@desk.example"
    assert len(bytes.fromhex(token)) == 16
    stranger = await visitor()
    for to in (address, f"reply-{'0' * 32}@desk.example", "reply-@desk.example", "leads@desk.example"):
        raw = f"From: Lead <lead@example.org>\r\nTo: {to}\r\nSubject: Re: Welcome\r\n\r\nYes, please.\r\n".encode()
        answer = await stranger.client.post(
            "/webhooks/email_receive", content=raw, headers={"Content-Type": "text/raw"}
        )
        assert (answer.status_code, answer.text) == (200, "OK")
    assert await get_model("InboundEmail").all().count() == 1
    await process_pending()
    incoming, outgoing = await comments(ann, desk)
    assert (incoming["type"], incoming["text"].strip()) == ("email_in", "Yes, please.")
    assert incoming["metadata"]["inReplyTo"] == outgoing["id"] == ordered["id"]
    assert (incoming["metadata"]["status"], incoming["metadata"]["verified"]) == ("received", False)


# The pixel.


async def test_the_first_fetch_of_the_pixel_marks_the_mail_read(visitor: Visitor, desk: Desk) -> None:
    ann = await visitor("ann")
    await send(ann, desk)
    path = pixel_in(html_of(await sent_mail()))
    assert path.endswith(".png")
    stranger = await visitor()
    pixel = await stranger.client.get(path)  # At once, and with no word of who asks: surely a machine.
    unknown = await stranger.client.get("/email/pixel/unknown.png")
    assert (pixel.status_code, pixel.content) == (unknown.status_code, unknown.content)
    assert pixel.headers["content-type"] == "image/png"
    assert pixel.headers["cache-control"] == "no-store"
    metadata = await _read(ann, desk)
    assert metadata["status"] == "read"
    first = metadata["readAt"]
    await stranger.client.get(path, headers=FIREFOX)
    assert (await _read(ann, desk))["readAt"] == first


async def _read(browser: Browser, desk: Desk) -> dict[str, Any]:
    """Return the metadata of the newest mail once it is read; hits are written in their own time."""
    async with asyncio.timeout(10):
        while True:
            metadata: dict[str, Any] = (await comments(browser, desk))[0]["metadata"]
            if metadata["status"] == "read":
                return metadata


async def test_what_only_asks_for_it_or_shows_it_again_reads_nothing(visitor: Visitor, desk: Desk) -> None:
    ann = await visitor("ann")
    await send(ann, desk)
    path = pixel_in(html_of(await sent_mail()))
    await ann.client.head(path)
    await ann.client.get(path, headers={"Referer": f"{BASE}/records/Ticket/1"})
    async with asyncio.timeout(10):
        while await get_model("TrackingEvent").all().count() < 2:
            assert (await comments(ann, desk))[0]["metadata"]["status"] == "sent"
    assert (await comments(ann, desk))[0]["metadata"]["status"] == "sent"
