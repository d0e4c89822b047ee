"""Delivery reports in the standard form."""

from __future__ import annotations

import pytest

from core.mail.bounce import read_bounce
from core.mail.parse import parse
from core.mail.values import Bounce, BouncedRecipient

REPORT = b"""\
Return-Path: <>
From: MAILER-DAEMON@mx.test
Subject: Undelivered Mail Returned to Sender
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

I'm sorry.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.test
Original-Envelope-Id: env17
Arrival-Date: Sun, 29 Mar 2026 03:30:00 +0200

Final-Recipient: rfc822; inner@y.test
Original-Recipient: rfc822;bob@x.test
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 <inner@y.test>: no such
    user

Final-Recipient: rfc822; full@x.test
Action: FAILED
Status: 5.2.2 (mailbox full)

Final-Recipient: rfc822; slow@x.test
Action: delayed
Status: 4.4.1

--b
Content-Type: %s

From: us@ours.test
Message-ID: <17.abc@ours.test>
Subject: Invoice

--b--
"""


@pytest.mark.parametrize("kind", [b"message/rfc822", b"text/rfc822-headers"])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_a_report_is_read(kind: bytes, line_end: bytes) -> None:
    assert read_bounce(parse((REPORT % kind).replace(b"\n", line_end))) == Bounce(
        recipients=(
            BouncedRecipient(
                address="inner@y.test",
                action="failed",
                status="5.1.1",
                diagnostic="550 5.1.1 <inner@y.test>: no such    user",
                hard=True,
                original_address="bob@x.test",
            ),
            BouncedRecipient(address="full@x.test", action="failed", status="5.2.2", diagnostic="", hard=False),
            BouncedRecipient(address="slow@x.test", action="delayed", status="4.4.1", diagnostic="", hard=False),
        ),
        original_message_id="<17.abc@ours.test>",
        envelope_id="env17",
        reporting_mta="mx.test",
    )


@pytest.mark.parametrize(
    ("status", "hard"),
    [
        ("5.1.1", True),
        ("5.1.10", True),
        ("5.0.0", True),
        ("5.4.4", True),
        ("5.2.2", False),
        ("5.7.1", False),
        ("4.4.7", False),
        ("x", False),
    ],
)
def test_i9_only_what_speaks_of_the_address_is_hard(status: str, hard: bool) -> None:
    bounce = read_bounce(parse((REPORT % b"message/rfc822").replace(b"5.1.1\nDiag", status.encode() + b"\nDiag")))
    assert bounce is not None
    assert bounce.recipients[0].hard is hard


@pytest.mark.parametrize(
    "raw",
    [
        b"Subject: Undelivered Mail\n\nbob@x.test: no such user",
        REPORT.replace(b"Action: failed", b"Action: dropped").replace(b"FAILED", b"x").replace(b"delayed", b"x")
        % b"a/b",
        b"Content-Type: message/delivery-status\n\n",
        b"Content-Type: message/delivery-status\n\n" + b"\n" * 100_000,
        b"",
    ],
)
def test_what_is_no_report_gives_nothing(raw: bytes) -> None:
    assert read_bounce(parse(raw)) is None


QMAIL = b"""\
Return-Path: <>
From: MAILER-DAEMON@mx.test
Subject: failure notice

Hi. This is the qmail-send program at mx.test.
I'm afraid I wasn't able to deliver your message to the following addresses.

<bob@x.test>:
192.0.2.1 does not like recipient.
Remote host said: 550 5.1.1 no such user

<eve@x.test>:
I couldn't find any host by that name.

--- Below this line is a copy of the message.

Message-ID: <17.abc@ours.test>

<not@a.recipient>:
of the copy
"""
EXIM = b"""\
Return-Path: <>
X-Failed-Recipients: bob@x.test
Auto-Submitted: auto-replied
Subject: Mail delivery failed: returning message to sender

A message that you sent could not be delivered:

  bob@x.test
    SMTP error from remote mail server: 550-5.7.1 refused
    at 192.0.2.1

------ This is a copy of the message, including all the headers. ------

Message-ID: <17.abc@ours.test>
"""


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_the_reports_of_qmail_and_exim_are_read(line_end: bytes) -> None:
    qmail = read_bounce(parse(QMAIL.replace(b"\n", line_end)))
    assert qmail is not None
    assert [(one.address, one.status, one.hard) for one in qmail.recipients] == [
        ("bob@x.test", "5.1.1", True),
        ("eve@x.test", None, False),
    ]
    exim = read_bounce(parse(EXIM.replace(b"\n", line_end)))
    assert exim is not None
    assert [(one.address, one.status, one.hard) for one in exim.recipients] == [("bob@x.test", "5.7.1", False)]
    assert exim.recipients[0].diagnostic.startswith("SMTP error from remote mail server: 550-5.7.1")
    assert qmail.original_message_id == exim.original_message_id == "<17.abc@ours.test>"


def test_a_person_may_say_hi() -> None:
    assert read_bounce(parse(b"Subject: Hi\n\nHi. This is the offer:\n\n<https://x.test/>\n\nBob\n")) is None
