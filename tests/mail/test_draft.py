"""The unsent draft: what a desktop mail program needs to open it for editing, and nothing that only we may say."""

from __future__ import annotations

import email
import email.policy
from datetime import UTC, datetime
from email.message import EmailMessage

import pytest
from hypothesis import given, settings

from core.errors import AddressError
from core.mail.draft import draft
from core.mail.guard import LOOP_HEADER
from core.mail.values import File, Mailbox, OutgoingEmail
from tests.mail.test_compose import assert_fit_for_the_wire, emails, intended_types

BOSS = Mailbox("The boss", "boss@example.org")
MAIL = OutgoingEmail(
    sender=Mailbox("Alice", "alice@example.org"),
    real_sender=Mailbox("", "robot@example.org"),
    to=(Mailbox("Bob", "bob@example.net"),),
    cc=(Mailbox("Kim", "kim@example.net"),),
    reply_to=Mailbox("", "reply+x@example.org"),
    subject="Your invoice",
    message_id="<1@example.org>",
    date=datetime(2026, 1, 2, tzinfo=UTC),
    html='<p>Hello <img src="cid:logo@x"></p>',
    in_reply_to="<0@example.net>",
    references=("<0@example.net>",),
    headers=((LOOP_HEADER, "tag"),),
    attachments=(File("a.pdf", "application/pdf", b"%PDF"),),
    inline_files=(File("logo.png", "image/png", b"png", "logo@x"),),
    importance="high",
    unsubscribe_url="https://x.test/u",
    list_id="a.b",
    feedback_id="a:b",
    auto_submitted="auto-generated",
)


def read(raw: bytes) -> EmailMessage:
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def test_it_opens_as_unsent_and_lets_the_program_name_and_date_it() -> None:
    message = read(draft(MAIL))
    assert message.keys() == [
        *("X-Unsent", "X-Uniform-Type-Identifier", "X-Mozilla-Draft-Info"),
        *("From", "To", "Cc", "Reply-To", "Subject", "In-Reply-To", "References"),
        *("X-Priority", "Importance", "Priority", "MIME-Version", "Content-Type"),
    ]
    assert message["X-Unsent"] == "1"
    assert message["In-Reply-To"] == "<0@example.net>"
    assert [part.get_filename() for part in message.iter_attachments()] == ["a.pdf"]


def test_w14_blind_copies_are_named_only_where_they_are_asked_for() -> None:
    assert b"boss" not in draft(MAIL)
    assert read(draft(MAIL, bcc=(BOSS,)))["Bcc"] == "The boss <boss@example.org>"


def test_s1_a_blind_copy_cannot_add_a_header() -> None:
    with pytest.raises(AddressError):
        draft(MAIL, bcc=(Mailbox("x\r\nX-Evil: 1", "a@b.test"),))


@given(emails)
@settings(max_examples=100, deadline=None)
def test_its_parts_are_those_of_the_mail(written: OutgoingEmail) -> None:
    raw = draft(written)
    assert_fit_for_the_wire(raw)
    assert [part.get_content_type() for part in read(raw).walk()] == intended_types(written)
