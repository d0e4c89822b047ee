"""S1: no text that a mail is made of adds, ends or hides a header: asked at the public door, seen at the server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from core.mail.values import Calendar
from core.runtime import Runtime, get_model
from tests.databases import sqlite_alone as database_url
from tests.security.door import BREAKS, Door, assert_only_crlf, attachment, door_to, read

__all__ = ["database_url"]
pytestmark = pytest.mark.anyio

ENDINGS = (
    "Bcc: evil@x.test",
    " folded",
    "\r\n\r\n<script>alert(1)</script>",
    "\tX-Evil: 1",
    "=0D=0ABcc: evil@x.test",
    "",
)
BASE = [
    *("From", "To", "Subject", "Date", "Message-ID", "X-Postroom-Loop"),
    *("MIME-Version", "Content-Type"),
]

Made = Callable[[str], dict[str, Any]]
TEXTS: dict[str, Made] = {
    "subject": lambda bad: {"subject": f"Invoice{bad}"},
    "name of the sender": lambda bad: {"from_email": f'"Office{bad}" <office@acme.test>'},
    "address of the sender": lambda bad: {"from_email": f"office{bad}@acme.test"},
    "name of a recipient": lambda bad: {"to": f'"Kim{bad}" <kim@customer.test>'},
    "recipient": lambda bad: {"to": f"kim@customer.test{bad}"},
    "copy": lambda bad: {"cc": [f"Kim{bad} <kim@customer.test>"]},
    "blind copy": lambda bad: {"bcc": [f"kim@customer.test{bad}"]},
    "reply to": lambda bad: {"reply_to": f"office@acme.test{bad}"},
    "name to reply to": lambda bad: {"reply_to": f'"Office{bad}" <office@acme.test>'},
    "hands it over": lambda bad: {"sender": f'"Robot{bad}" <robot@acme.test>'},
    "extra header": lambda bad: {"headers": {"X-Custom": f"one{bad}"}},
    "name of an extra header": lambda bad: {"headers": {f"X-Custom{bad}": "one"}},
    "list of unsubscribers": lambda bad: {"unsubscribe_list": f"news{bad}"},
    "extra List-Unsubscribe": lambda bad: {"headers": {"List-Unsubscribe": f"<https://x.test/{bad}>"}},
    "Feedback-ID": lambda bad: {"feedback_id": f"a:b{bad}"},
    "Auto-Submitted": lambda bad: {"automatic": f"auto-replied{bad}"},
    "token of the Message-ID": lambda bad: {"tracking_identifier": f"a{bad}"},
    "method of an invitation": lambda bad: {"invite": Calendar("BEGIN:VCALENDAR\nMETHOD:REQUEST\n", f"REQUEST{bad}")},
    "text of an invitation": lambda bad: {"invite": Calendar(f"BEGIN:VCALENDAR\nMETHOD:REQUEST{bad}\n", "REQUEST")},
    "name of an inline image": lambda bad: {"inline_images": {f"logo{bad}": b"GIF89a"}},
    "text": lambda bad: {"text": f"Hello{bad}"},
    "body": lambda bad: {"body": f"<p>Hello{bad}</p>"},
}


@pytest.fixture
def settings() -> dict[str, object]:
    return {"MAIL_DOMAIN": "acme.test", "MAIL_MODE": "live", "BASE_URL": "https://post.acme.test"}


def names_of(raw: bytes) -> list[str]:
    """Return the names of the lines that start a header, as an old and simple program finds them."""
    head, _, _ = raw.partition(b"\r\n\r\n")
    return [line.partition(b":")[0].decode("ascii") for line in head.split(b"\r\n") if line[:1] not in b" \t"]


OWN = {
    "copy": ["Cc"],
    "reply to": ["Reply-To"],
    "name to reply to": ["Reply-To"],
    "hands it over": ["Sender"],
    "extra header": ["X-Custom"],
    "list of unsubscribers": ["List-Id", "List-Unsubscribe", "List-Unsubscribe-Post"],
    "extra List-Unsubscribe": ["List-Unsubscribe"],
    "Feedback-ID": ["Feedback-ID"],
    "text": ["Content-Transfer-Encoding"],
}


async def _attack(door: Door, what: str, bad: str) -> None:
    options = TEXTS[what](bad)
    to = options.pop("to", "kim@customer.test")
    message = await door.queue(to, **options)
    for accepted in await door.sent():
        where = (what, bad)
        assert accepted.recipient == "kim@customer.test", where
        assert_only_crlf(accepted.raw)
        allowed = {*BASE, *OWN.get(what, ())}
        names = names_of(accepted.raw)
        assert len(names) == len(set(names)), (where, names)
        assert set(names) <= allowed, (where, names)
        assert {*BASE, *OWN.get(what, ())} - {"Content-Transfer-Encoding"} <= set(names), (where, names)
        assert read(accepted.raw).keys() == names, where
        assert message is not None, where


@pytest.mark.parametrize("what", TEXTS)
async def test_s1_a_text_is_refused_or_stays_a_text(host: Runtime, what: str) -> None:
    async with door_to() as door:
        for break_ in BREAKS:
            for ending in ENDINGS[: 6 if break_ in "\r\n" else 2]:
                await _attack(door, what, break_ + ending)
        # What is not refused at once goes out: nothing is found to be wrong only when it is too late to say so.
        states = await get_model("Message").all().values_list("send_state", flat=True)
        assert set(states) <= {"Sent"}
        assert len(states) + len(door.refused) >= len(BREAKS) * 2


async def test_s1_the_name_type_and_id_of_a_file_stay_what_they_are(host: Runtime) -> None:
    async with door_to() as door:
        for break_ in BREAKS:
            bad = f"a{break_}X-Evil: 1\r\n\r\nevil"
            if "\ud800" <= break_ <= "\udfff" or break_ == "\0":
                continue  # No database keeps these in a text.
            for file in (
                await attachment(bad, b"x"),
                await attachment("a.pdf", b"x", bad),
                await attachment("a.png", b"x", "image/png", content_id=bad),
                await attachment('a"; filename="b.exe', b"x"),
            ):
                await door.queue(attachments=[file])
        for accepted in await door.sent():
            assert_only_crlf(accepted.raw)
            message = read(accepted.raw)
            assert set(message.keys()) == set(BASE)
            for part in message.walk():
                assert "X-Evil" not in part
                assert not (part.get_filename() or "").endswith("b.exe") or '"' in part.get_filename()


async def test_s1_a_header_of_ours_cannot_be_added_or_replaced(host: Runtime) -> None:
    names = (
        *(
            "From",
            "from",
            "Sender",
            "To",
            "Cc",
            "Bcc",
            "BCC",
            "Reply-To",
            "Subject",
            "Date",
            "Message-ID",
            "References",
        ),
        *("In-Reply-To", "MIME-Version", "Content-Type", "Content-Transfer-Encoding", "Resent-From", "Resent-Bcc"),
        *("Return-Path", "Received", "DKIM-Signature", "ARC-Seal", "Authentication-Results", "Delivered-To"),
        *("X Space", "X:Colon", "", "Ünicode", "X\r\nBcc", "x" * 200),
    )
    async with door_to() as door:
        for name in names:
            await door.queue(headers={name: "evil@x.test"})
        for accepted in await door.sent():
            pytest.fail(f"This went out: {accepted.raw!r}")


async def test_s1_what_templates_and_records_hold_becomes_no_header(host: Runtime) -> None:
    """The author's name, the company's and the signature come from records that users write."""
    async with door_to() as door:
        for break_ in BREAKS:
            if "\ud800" <= break_ <= "\udfff" or break_ == "\0":
                continue
            bad = f"Ann{break_}Bcc: evil@x.test"
            contact = await get_model("Contact").create(name=bad, email="ann@acme.test")
            company = await get_model("Company").create(name=bad, footer=bad, website=bad, address=bad)
            user = await get_model("User").create(
                name=bad, login=f"ann{ord(break_[0])}{len(break_)}", password="x", contact=contact, signature=bad
            )
            await door.queue(company=company)
            try:
                await get_model("Message").queue_email(user, ["kim@customer.test"], "Hi", "<p>x</p>", company=company)
            except ValueError:
                continue
        for accepted in await door.sent():
            assert names_of(accepted.raw) == read(accepted.raw).keys()
            assert set(names_of(accepted.raw)) <= {*BASE, "Reply-To"}
