"""All that a mail can be asked for, sent through a real Postfix, and read by parsers that share no code with ours.

Each case goes in by `Message.queue_email` and is looked at as the server behind Postfix took it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any
from zoneinfo import ZoneInfo

import fast_mail_parser
import icalendar
import pytest
from imap_tools import MailMessage

from core.mail.invite import Attendee, Invite
from core.mail.values import Mailbox
from core.runtime import Runtime, get_model
from tests.databases import sqlite_alone as database_url
from tests.mail.test_compose import normal
from tests.security.door import Door, assert_only_crlf, attachment, door_to, read
from tests.servers.fake_mta import Accepted
from tests.servers.postfix import Postfix

__all__ = ["database_url"]
pytestmark = pytest.mark.anyio

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
PDF = b"%PDF-1.7\n" + b"\r\n.\r\n\x00\xff" * 500


@pytest.fixture
def settings() -> dict[str, object]:
    return {"MAIL_DOMAIN": "acme.test", "MAIL_MODE": "live", "BASE_URL": "https://post.acme.test"}


class Relayed:
    """A door whose server is a Postfix, which hands everything on to the one that keeps it."""

    def __init__(self, door: Door):
        self.door = door

    async def send(self, *to: str, **options: Any) -> list[Accepted]:
        """Send one mail, and return it as it was taken for each of its recipients."""
        before = len(self.door.mta.ledger)
        message = await self.door.queue(*to, **options)
        assert message is not None, self.door.refused
        wanted = await get_model("Delivery").filter(message_id=message.pk).count()
        await self.door.sent()
        taken = await self.arrived(before, wanted)
        for one in taken:
            assert_only_crlf(one.raw)
            assert one.message_id == message.message_id
        return taken

    async def arrived(self, before: int, count: int) -> list[Accepted]:
        """Wait until Postfix has handed on so many more."""
        async with asyncio.timeout(20):
            while len(self.door.mta.ledger) < before + count:
                await asyncio.sleep(0.02)
        return self.door.mta.ledger[before:]


@pytest.fixture
async def relay(host: Runtime) -> AsyncIterator[Relayed]:
    async with door_to() as door:
        with Postfix({}, default=f"smtp:[127.0.0.1]:{door.mta.port}") as postfix:
            await get_model("OutgoingMailServer").all().update(port=postfix.port)
            yield Relayed(door)


def tree(raw: bytes) -> Any:
    """Return the structure of a mail as nested lists of content types, as the parser in Rust sees it."""

    def shape(node: Any) -> Any:
        return [node.content_type, *map(shape, node.children)] if node.children else node.content_type

    return shape(fast_mail_parser.parse_email_tree(raw))


def part(message: EmailMessage, content_type: str) -> Any:
    (found,) = [one for one in message.walk() if one.get_content_type() == content_type]
    return found


async def test_all_parts_together_keep_their_places(relay: Relayed) -> None:
    invite = Invite(
        uid="1@acme.test",
        summary="Übergabe, Raum 1",
        starts_at=datetime(2026, 7, 1, 10, tzinfo=ZoneInfo("Europe/Zurich")),
        ends_at=datetime(2026, 7, 1, 11, tzinfo=ZoneInfo("Europe/Zurich")),
        organizer=Mailbox("Office", "office@acme.test"),
        attendees=(Attendee(Mailbox("Kim", "kim@customer.test")),),
        recurrence="FREQ=WEEKLY;COUNT=4",
    )
    (one,) = await relay.send(
        "Kim <kim@customer.test>",
        body='<style>p{color:red}</style><p>Grüezi <img src="cid:logo" alt="Acme"></p>',
        inline_images={"logo": PNG},
        attachments=[await attachment("Rechnung März.pdf", PDF, "application/pdf")],
        invite=invite,
    )
    alternative = [
        "multipart/alternative",
        "text/plain",
        ["multipart/related", "text/html", "image/png"],
        "text/calendar",
    ]
    assert tree(one.raw) == ["multipart/mixed", alternative, "application/pdf", "application/ics"]
    message = read(one.raw)
    assert "Grüezi" in part(message, "text/plain").get_content()
    assert '<p style="color: red;">' in part(message, "text/html").get_content()
    image = part(message, "image/png")
    assert (image["Content-ID"], image.get_content_disposition()) == ("<logo>", "inline")
    assert image.get_content() == PNG
    assert part(message, "application/pdf").get_content() == PDF
    assert part(message, "application/pdf").get_filename() == "Rechnung März.pdf"
    calendar = part(message, "text/calendar")
    assert calendar["Content-Type"].params["method"] == "REQUEST"
    (event,) = icalendar.Calendar.from_ical(calendar.get_content()).walk("VEVENT")
    assert event.start.astimezone(UTC) == datetime(2026, 7, 1, 8, tzinfo=UTC)
    assert event["SUMMARY"] == "Übergabe, Raum 1"
    assert part(message, "application/ics").get_filename() == "invite.ics"
    by_other = MailMessage.from_bytes(one.raw)
    assert {file.filename for file in by_other.attachments} >= {"Rechnung März.pdf", "invite.ics"}


async def test_who_sends_and_who_gets_it_is_said_and_blind_copies_are_not(relay: Relayed) -> None:
    taken = await relay.send(
        '"Kim, the customer" <kim@customer.test>',
        "Jürgen <j@x.test>",
        cc=["cc@x.test"],
        bcc=["blind@x.test"],
        from_email="Ännchen <anna@acme.test>",
        sender="robot@acme.test",
        reply_to='"Office; team" <office@acme.test>',
    )
    assert {one.recipient for one in taken} == {"kim@customer.test", "j@x.test", "cc@x.test", "blind@x.test"}
    for one in taken:
        assert b"blind" not in one.raw
        mail = fast_mail_parser.parse_email(one.raw)
        assert [(to.display_name, to.address) for to in mail.to] == [
            ("Kim, the customer", "kim@customer.test"),
            ("Jürgen", "j@x.test"),
        ]
        message = read(one.raw)
        assert message["From"].addresses[0].display_name == "Ännchen"
        assert str(message["Sender"]) == "robot@acme.test"
        assert message["Reply-To"].addresses[0].display_name == "Office; team"
        assert str(message["Cc"]) == "cc@x.test"
        assert MailMessage.from_bytes(one.raw).from_values.name == "Ännchen"


async def test_a_long_thread_is_told_in_whole_identifiers(relay: Relayed) -> None:
    ids = [f"<{'a' * 60}.{number}@{'b' * 60}.test>" for number in range(30)]
    draft = await get_model("Message").create(
        subject="Re: x", in_reply_to=ids[-1], thread_references=" ".join(ids), kind="message", channel="email"
    )
    (one,) = await relay.send(message=draft)
    assert all(identifier.encode() in one.raw for identifier in ids)
    message = read(one.raw)
    assert str(message["In-Reply-To"]) == ids[-1]
    assert fast_mail_parser.parse_email_tree(one.raw).headers["References"][0].split() == ids


async def test_addresses_of_the_whole_world_go_by_smtputf8(relay: Relayed) -> None:
    (one,) = await relay.send("\u7528\u6237 <\u7528\u6237@\u4f8b\u5b50.test>", subject="\u4f60\u597d " * 40)
    assert one.recipient == "\u7528\u6237@xn--fsqu00a.test"
    mail = fast_mail_parser.parse_email(one.raw)
    assert mail.to[0].address == one.recipient
    assert mail.subject == ("\u4f60\u597d " * 40).strip()
    (one,) = await relay.send("a@b\u00fccher.test")
    assert one.recipient == "a@xn--bcher-kva.test"
    assert one.raw.isascii()


async def test_list_mail_can_be_left_by_one_click(relay: Relayed) -> None:
    (one,) = await relay.send(
        body='<p>News. <a href="%unsubscribe_url%">Leave</a></p>', unsubscribe_list="Our news", feedback_id="a:b:acme"
    )
    headers = fast_mail_parser.parse_email_tree(one.raw).headers
    (way_out,) = headers["List-Unsubscribe"]
    url = way_out.partition(">")[0].removeprefix("<")
    assert url.startswith("https://post.acme.test/")
    assert b"List-Unsubscribe: <" + url.encode() in one.raw
    assert headers["List-Unsubscribe-Post"] == ["List-Unsubscribe=One-Click"]
    assert headers["List-Id"] == ["<our-news.acme.test>"]
    assert headers["Feedback-ID"] == ["a:b:acme"]
    assert url in part(read(one.raw), "text/html").get_content()


async def test_priority_and_automatic_mail_say_so(relay: Relayed) -> None:
    (one,) = await relay.send(priority="high", automatic=True)
    headers = read(one.raw)
    assert (headers["X-Priority"], headers["Importance"], headers["Priority"]) == ("1 (Highest)", "high", "urgent")
    assert headers["Auto-Submitted"] == "auto-generated"
    (one,) = await relay.send(automatic="auto-replied")
    assert (one.sender, read(one.raw)["Auto-Submitted"]) == ("", "auto-replied")


async def test_the_frame_and_the_signature_are_in_both_halves(relay: Relayed) -> None:
    company = await get_model("Company").create(name="Acme & Söhne", color="#112233", footer="CHE-1")
    contact = await get_model("Contact").create(name="Anna", email="anna@acme.test")
    user = await get_model("User").create(
        login="anna", name="Anna", contact=contact, company=company, signature="<p>Anna<br>Sales</p>"
    )
    (one,) = await _taken(relay, user)
    message = read(one.raw)
    html, text = part(message, "text/html").get_content(), part(message, "text/plain").get_content()
    assert html.index("Acme &amp; Söhne") < html.index("Hello Kim") < html.index("Sales") < html.index("CHE-1")
    assert text.index("Hello Kim") < text.index("Sales") < text.index("CHE-1")
    (one,) = await _taken(relay, user, text="Hello, Kim")
    text = part(read(one.raw), "text/plain").get_content()
    assert normal(text) == "Hello, Kim\n\n-- \nAnna\nSales\n\nAcme & Söhne\nCHE-1"


async def _taken(relay: Relayed, author: Any, **options: Any) -> list[Accepted]:
    before = len(relay.door.mta.ledger)
    await get_model("Message").queue_email(author, ["kim@customer.test"], "Hi", "<p>Hello Kim</p>", **options)
    await relay.door.sent()
    return await relay.arrived(before, 1)


async def test_the_bytes_of_a_dry_run_are_the_bytes_that_go(relay: Relayed) -> None:
    message = await relay.door.queue(body="<p>Hi</p>", attachments=[await attachment("a.pdf", PDF, "application/pdf")])
    dry = await message.eml()
    await relay.door.sent()
    (one,) = await relay.arrived(0, 1)
    # Postfix writes its own lines above.
    assert one.raw.endswith(dry)
    assert one.raw.removesuffix(dry).startswith(b"Received: ")
