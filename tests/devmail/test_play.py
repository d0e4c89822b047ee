from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.devmail.play import Stamp, compose_auto_reply, compose_bounce, compose_new, compose_reply
from core.errors import AddressError, UserError
from core.mail.automatic import automatic_reason
from core.mail.bounce import read_bounce
from core.mail.compose import compose
from core.mail.parse import parse
from core.mail.quotation import split_reply
from core.mail.values import Mailbox, OutgoingEmail

STAMP = Stamp("abc123", datetime(2026, 3, 1, 9, 30, tzinfo=UTC))


def sent(**values: object) -> bytes:
    """A mail as Postroom sends it."""
    fields: dict[str, object] = {
        "sender": Mailbox("Ann", "ann@desk.example"),
        "to": (Mailbox("Carla Customer", "carla@example.org"),),
        "subject": "Your chair",
        "message_id": "<one@desk.example>",
        "date": datetime(2026, 2, 28, 8, 0, tzinfo=UTC),
        "reply_to": Mailbox("", "catchall+0123456789abcdef0123456789abcdef@desk.example"),
        "html": "<p>Is it <b>fine</b> now?</p>",
        "references": ("<zero@desk.example>",),
    }
    return compose(OutgoingEmail(**{**fields, **values}))  # type: ignore[arg-type]


def test_a_reply_goes_where_answers_go() -> None:
    reply = parse(compose_reply(sent(), "carla@example.org", "Yes.", STAMP))
    assert reply.sender == Mailbox("Carla Customer", "carla@example.org")
    assert [box.address for box in reply.to] == ["catchall+0123456789abcdef0123456789abcdef@desk.example"]
    assert reply.subject == "Re: Your chair"
    assert reply.in_reply_to == ("<one@desk.example>",)
    assert reply.references == ("<zero@desk.example>", "<one@desk.example>")
    assert reply.message_id == "<abc123@example.org>"
    assert reply.return_path == "carla@example.org"
    cut = split_reply(reply.text or "")
    assert cut.new == "Yes."
    assert "> Is it fine now?" in cut.quoted
    assert automatic_reason(reply) is None


def test_without_reply_to_it_goes_to_the_sender_and_re_is_not_doubled() -> None:
    reply = parse(compose_reply(sent(reply_to=None, subject="RE: x"), "carla@example.org", "Yes.", STAMP))
    assert [box.address for box in reply.to] == ["ann@desk.example"]
    assert reply.subject == "RE: x"


def test_nobody_to_answer_to_is_told() -> None:
    with pytest.raises(UserError, match="nobody to answer"):
        compose_reply(b"Subject: x\r\n\r\nx", "carla@example.org", "Yes", STAMP)


def test_an_auto_reply_says_that_it_is_one() -> None:
    assert automatic_reason(parse(compose_auto_reply(sent(), "carla@example.org", STAMP)))


def test_a_bounce_is_a_report_to_the_envelope_sender() -> None:
    raw = compose_bounce(sent(), "bounce+0123456789abcdef0123456789abcdef@desk.example", "carla@example.org", STAMP)
    mail = parse(raw)
    report = read_bounce(mail)
    assert report is not None
    assert report.original_message_id == "<one@desk.example>"
    (recipient,) = report.recipients
    assert (recipient.address, recipient.status, recipient.hard) == ("carla@example.org", "5.1.1", True)
    assert mail.return_path == ""
    assert next(box.address for box in mail.recipients).startswith("bounce+")


def test_a_new_mail_has_its_people() -> None:
    mail = parse(compose_new("Zoe <zoe@example.net>", "leads@desk.example", "Offer\n?", "Hi", STAMP))
    assert (mail.sender, mail.subject, mail.text) == (Mailbox("Zoe", "zoe@example.net"), "Offer ?", "Hi")
    assert [box.address for box in mail.recipients] == ["leads@desk.example"]


@pytest.mark.parametrize("address", ["", "x", "a@b.example\r\nBcc: c@d.example", "a@b.example> SIZE=1"])
def test_no_address_carries_more_than_an_address(address: str) -> None:
    with pytest.raises(AddressError):
        compose_new(address, "leads@desk.example", "x", "x", STAMP)
    with pytest.raises(AddressError):
        compose_bounce(sent(), address, "carla@example.org", STAMP)


@given(st.binary(max_size=400), st.text(max_size=200))
def test_whatever_was_caught_can_be_answered(junk: bytes, text: str) -> None:
    caught = b"From: ann@desk.example\r\nX-Junk: " + junk
    for raw in (
        compose_reply(caught, "carla@example.org", text, STAMP),
        compose_auto_reply(caught, "carla@example.org", STAMP),
        compose_bounce(caught, "bounce@desk.example", "carla@example.org", STAMP),
    ):
        assert parse(raw).message_id == "<abc123@example.org>"
