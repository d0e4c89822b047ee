"""Delivery reports: the standard form, what becomes of it on the way, and what people are meant to read."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mail.bounce import read_bounce
from core.mail.bounce_cause import Cause, cause_of, is_hard
from core.mail.parse import parse
from core.mail.values import Bounce, BouncedRecipient
from tests.budget import within

SAMPLES = Path(__file__).parent.parent / "samples" / "bounces"
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

Return-Path: <bounce+tag@ours.test>
From: us@ours.test
Message-ID: <17.abc@ours.test>
Subject: Invoice

--b--
"""


def one(raw: bytes) -> BouncedRecipient:
    """Return the only recipient that a report names."""
    bounce = read_bounce(parse(raw))
    assert bounce is not None
    (recipient,) = bounce.recipients
    return recipient


def dsn(fields: str, kind: str = "message/delivery-status", text: str = "Sorry.") -> bytes:
    return f"""\
From: MAILER-DAEMON@mx.test
Subject: Undelivered Mail Returned to Sender
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

{text}
--b
Content-Type: {kind}

{fields}
--b--
""".encode()


@pytest.mark.parametrize("kind", [b"message/rfc822", b"text/rfc822-headers", b"message/global-headers"])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_a_report_is_read(kind: bytes, line_end: bytes) -> None:
    assert read_bounce(parse((REPORT % kind).replace(b"\n", line_end))) == Bounce(
        recipients=(
            BouncedRecipient(
                address="inner@y.test",
                action="failed",
                status="5.1.1",
                diagnostic="550 5.1.1 <inner@y.test>: no such user",
                hard=True,
                original_address="bob@x.test",
                cause="no_address",
            ),
            BouncedRecipient(
                address="full@x.test", action="failed", status="5.2.2", diagnostic="", hard=False, cause="full"
            ),
            BouncedRecipient(
                address="slow@x.test", action="delayed", status="4.4.1", diagnostic="", hard=False, cause="unreachable"
            ),
        ),
        original_message_id="<17.abc@ours.test>",
        envelope_id="env17",
        reporting_mta="mx.test",
        original_return_path="bounce+tag@ours.test",
        original_subject="Invoice",
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
    assert one(dsn(f"Final-Recipient: rfc822; a@x.test\nAction: failed\nStatus: {status}")).hard is hard


@pytest.mark.parametrize(
    ("fields", "address", "action"),
    [
        ("Final-Recipient: a@x.test\nAction: failed", "a@x.test", "failed"),
        ("Final-Recipient: RFC822; <a@x.test>\nAction: error\nStatus: 5.0.0", "a@x.test", "failed"),
        ("Final-Recipient: rfc822;\n\ta@x.test\nAction: Failed (given up)", "a@x.test", "failed"),
        ("Original-Recipient: rfc822;a+2Btag@x.test\nAction: failed", "a+tag@x.test", "failed"),
        ("Final-Recipient: utf-8; \\x{FC}ber@x.test\nAction: failed", "über@x.test", "failed"),
        ("Final-Recipient: rfc822; a@x.test\nStatus: 2.1.5", "a@x.test", "delivered"),
        ("Final-Recipient: rfc822; a@x.test\nAction: relayed", "a@x.test", "relayed"),
        ("Final-Recipient: rfc822; a@x.test\n\nAction: failed\nStatus: 5.1.1", "a@x.test", "failed"),
        ("Action: delayed\nReporting-MTA: dns; mx.test\n\nFinal-Recipient: rfc822; a@x.test", "a@x.test", "delayed"),
        ("Diagnostic-Code: smtp; 550 no\nStatus: 5.1.1\nFinal-Recipient: rfc822; a@x.test", "a@x.test", "failed"),
    ],
)
@pytest.mark.parametrize("kind", ["message/delivery-status", "message/global-delivery-status", "text/plain"])
def test_a_broken_report_is_read_all_the_same(fields: str, address: str, action: str, kind: str) -> None:
    found = one(dsn(fields, kind))
    assert (found.address, found.action) == (address, action)


def test_several_parts_of_a_report_and_several_headers_are_all_read() -> None:
    parts = "Final-Recipient: rfc822; a@x.test\nAction: failed\n--b\nContent-Type: message/delivery-status\n\n"
    bounce = read_bounce(
        parse(dsn(f"{parts}Reporting-MTA: dns; y\n\nFinal-Recipient: rfc822; b@x.test\nAction: failed"))
    )
    assert bounce is not None
    assert [told.address for told in bounce.recipients] == ["a@x.test", "b@x.test"]
    exim = read_bounce(parse(EXIM.replace(b"Auto-Sub", b"X-Failed-Recipients: eve@x.test\nAuto-Sub")))
    assert exim is not None
    assert [told.address for told in exim.recipients] == ["bob@x.test", "eve@x.test"]


def test_where_a_server_delivers_inside_is_nobodys_address() -> None:
    fields = "Original-Recipient: rfc822;a@x.test\nFinal-Recipient: rfc822;@store.x.test:a@ims_daemon\nAction: failed"
    assert one(dsn(fields)).address == "a@x.test"


def test_the_words_for_people_tell_the_cause_that_the_fields_leave_out() -> None:
    fields = "Original-Recipient: rfc822;<a@x.test>\nFinal-Recipient: LOCAL;<a>\nAction: failed\nStatus: 5.0.0"
    words = "Failed to deliver to '<a@x.test>'\nLOCAL module reports:\n account is full (quota exceeded)"
    found = one(dsn(fields, text=words))
    assert (found.address, found.cause, found.hard) == ("a@x.test", "full", False)


def test_recipients_without_a_blank_line_between_are_two() -> None:
    fields = "\n".join(f"Final-Recipient: rfc822; {name}@x.test\nAction: failed\nStatus: 5.1.1" for name in "ab")
    bounce = read_bounce(parse(dsn(fields)))
    assert bounce is not None
    assert [told.address for told in bounce.recipients] == ["a@x.test", "b@x.test"]


@pytest.mark.parametrize(
    "raw",
    [
        b"Subject: Undelivered Mail\n\nSome words about <bob@x.test>",
        REPORT.replace(b"Action: failed", b"Action: dropped").replace(b"FAILED", b"x").replace(b"delayed", b"x")
        % b"a/b",
        b"Content-Type: message/delivery-status\n\n",
        b"Content-Type: message/delivery-status\n\n" + b"\n" * 100_000,
        b"",
    ],
)
def test_what_is_no_report_gives_nothing(raw: bytes) -> None:
    assert read_bounce(parse(raw)) is None


@pytest.mark.parametrize(
    ("status", "words", "cause"),
    [
        (None, "550 5.1.1 <a@x.test>: Recipient address rejected: User unknown in local recipient table", "no_address"),
        ("5.7.1", "550 5.7.1 Unable to relay for a@x.test", "policy"),
        ("5.4.1", "550 5.4.1 Recipient address rejected: Access denied. AS(1)", "no_address"),
        ("4.2.2", "452 4.2.2 The email account that you tried to reach is over quota", "full"),
        ("5.2.1", "550 5.2.1 The email account that you tried to reach is disabled", "disabled"),
        (None, "Sorry, I couldn't find any host named x.test. (#5.1.2)", "no_domain"),
        ("5.7.1", "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using a block list", "blocked"),
        ("5.7.1", "550 5.7.1 Message content rejected as spam", "spam"),
        ("5.1.8", "553 5.1.8 <us@ours.test>... Domain of sender address us@ours.test does not exist", "policy"),
        ("5.3.4", "552 5.3.4 Message size exceeds fixed limit", "too_large"),
        ("4.4.7", "delivery time expired", "expired"),
        ("5.4.6", "554 5.4.6 Too many hops", "loop"),
        (None, "connect to mx.x.test[192.0.2.1]:25: Connection timed out", "unreachable"),
        (None, "Der Empfänger ist unbekannt", "no_address"),
        (None, "Cette adresse n'existe pas", "no_address"),
        (None, "El buzón del destinatario está lleno", "full"),
        (None, "La casella del destinatario è piena", "full"),
        (None, "Почтовый ящик не существует", "no_address"),
        (None, "メールアドレスが見つかりませんでした", "no_address"),
        (None, "收件人邮箱空间不足", "full"),
        ("5.1.0", "550 5.1.0 Address rejected.", "no_address"),
        (None, "450 4.7.1 Recipient address rejected: Greylisted for 5 minutes", "blocked"),
        ("5.0.0", "554 delivery error: dd This user doesn't have a far.test account", "no_address"),
        ("4.4.3", "Name service error for name=far.test type=MX: Host not found, try again", "no_domain"),
        (None, "delivery temporarily suspended: connect to mx.x.test[192.0.2.1]:25: No route to host", "unreachable"),
        (None, "550 The e-mail address of the sender is refused: unroutable sender", "policy"),
        (None, "550 You must authenticate before you send to far.test", "policy"),
        (None, "550 Only members may write: not subscribed", "policy"),
        (None, "550 mail from your host is not wanted", "blocked"),
        (None, "550 use the SMTP server of your provider, no dynamic IP", "blocked"),
        (None, "554 x.test has sent too many e-mails per hour", "blocked"),
        (None, "552 not enough space for this mail", "full"),
        (None, "550 too much mail for this subscriber", "full"),
        (None, "Der Posteingang von Ada ist leider voll", "full"),
        (None, "550 an illegal attachment was found", "spam"),
        (None, "554 message is in a routing loop", "loop"),
        (None, "451 malformed name server reply", "unreachable"),
        ("5.2.0", "550 ada is not present in our tables", "no_address"),
        ("5.2.0", "550 there is no one at this address", "no_address"),
        ("5.2.0", "550 no mailbox available for ada", "no_address"),
        ("5.1.1", "550-Verification failed for <us@ours.test> 550 Sender verify failed", "policy"),
        ("5.0.0", "550 Error: MAIL FROM is not the same as in the header", "policy"),
        ("5.0.0", "550 IP frequency limited [blocked ip 192.0.2.1]", "blocked"),
        ("5.0.0", "550 refused as<the mailbox <a@x.test> is full>", "full"),
        ("5.0.0", "550 the user has exhausted the storage space", "full"),
        ("5.0.0", "552 it is larger than the system limit", "too_large"),
        ("5.0.0", "553 the MX list for x.test points back to mx.x.test", "loop"),
        ("5.0.0", "553 RCPT TO: user <a@x.test> not OK", "no_address"),
        ("5.0.0", "550 the recipient cannot be verified", "no_address"),
        (None, "ada はディレクトリのリストにありません", "no_address"),
        (None, "La cuenta de Ada ha caducado", "disabled"),
        (None, "550 user status is locked", "disabled"),
        ("5.0.0", "host mx.x.test[192.0.2.1] said: 554 invalid structure of the mail", "unknown"),
        ("5.0.0", "550 mailbox unavailable, your IP 192.0.2.1 is on a black list", "blocked"),
        ("5.0.0", "550 192.0.2.1 is listed at lists.test", "blocked"),
        ("5.0.0", "550 ADDRESS_NOT_FOUND", "no_address"),
        ("5.0.0", "550 there is no one with this address here", "no_address"),
        ("5.0.0", "550 illegal user", "no_address"),
        ("5.0.0", "550 BAD-RECIPIENT", "no_address"),
        ("5.0.0", "550 far.test isn't in my list of allowed rcpthost", "policy"),
        ("5.0.0", "550 <a@x.test> not found", "no_address"),
        ("5.0.0", "550 mailbox a@x.test is unavailable", "no_address"),
        ("5.0.0", "550 locked because of inactivity", "disabled"),
        ("5.0.0", "550 she is no longer an employee", "disabled"),
        ("5.0.0", "550 no route found to the domain", "no_domain"),
        ("5.0.0", "550 the user has exceeded", "full"),
        ("5.0.0", "550 our load is too high", "unreachable"),
        ("5.0.0", "550 it does not comply with our standards", "policy"),
        (None, "nobody says why", "unknown"),
    ],
)
def test_the_cause_is_told_by_code_and_words(status: str | None, words: str, cause: str) -> None:
    assert cause_of(status, words) == cause
    assert Cause(cause).words


def test_i9_a_code_that_may_pass_is_never_hard() -> None:
    assert not is_hard("failed", "4.1.1", Cause.NO_ADDRESS, "450 4.1.1 user unknown")
    assert not is_hard("failed", None, Cause.NO_ADDRESS, "450 user unknown, try again")
    assert not is_hard("delayed", "5.1.1", Cause.NO_ADDRESS, "550 user unknown")


@pytest.mark.parametrize(
    ("status", "words", "hard"),
    [
        ("5.0.0", "", True),
        ("5.0.0", "550 a@x.test", True),
        (None, "550 a@x.test", True),
        ("5.0.0", "554 5.0.0 <a@x.test>", False),
        ("5.0.0", "550 header error", False),
        ("5.0.0", "550 XY:17 see https://x.test/help", False),
        (None, "550 header error", False),
        ("5.1.0", "550 header error", True),
        (None, "", False),
    ],
)
def test_i9_a_general_code_is_hard_only_where_nothing_else_is_said(status: str | None, words: str, hard: bool) -> None:
    assert is_hard("failed", status, Cause.UNKNOWN, words) is hard


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
Sorry, I wasn't able to establish an SMTP connection. (#4.4.1)

--- Below this line is a copy of the message.

Message-ID: <17.abc@ours.test>
From: us@ours.test
To: all@ours.test

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
From: us@ours.test
To: bob@x.test
"""


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_the_reports_of_qmail_and_exim_are_read(line_end: bytes) -> None:
    qmail = read_bounce(parse(QMAIL.replace(b"\n", line_end)))
    assert qmail is not None
    assert [(told.address, told.status, told.hard) for told in qmail.recipients] == [
        ("bob@x.test", "5.1.1", True),
        ("eve@x.test", "4.4.1", False),
    ]
    exim = read_bounce(parse(EXIM.replace(b"\n", line_end)))
    assert exim is not None
    assert [(told.address, told.status, told.hard) for told in exim.recipients] == [("bob@x.test", "5.7.1", False)]
    assert "SMTP error from remote mail server: 550-5.7.1" in exim.recipients[0].diagnostic
    assert qmail.original_message_id == exim.original_message_id == "<17.abc@ours.test>"


def test_a_person_may_say_hi() -> None:
    assert read_bounce(parse(b"Subject: Hi\n\nHi. This is the offer:\n\n<https://x.test/>\n\nBob\n")) is None


_EXPECTED = "X-Expected:"


@pytest.mark.parametrize("file", sorted(SAMPLES.glob("*.eml")), ids=lambda file: file.stem)
def test_a_report_written_for_people_names_who_failed(file: Path) -> None:
    """Each sample says in its first line what is expected: `address action hard|soft cause`, nobody, or none."""
    first, _, raw = file.read_bytes().partition(b"\n")
    expected = [piece.split() for piece in first.decode().removeprefix(_EXPECTED).split(",")]
    bounce = read_bounce(parse(raw))
    if expected == [["none"]]:
        assert bounce is None
        return
    assert bounce is not None
    if expected == [["nobody"]]:
        assert bounce.recipients == ()
        return
    assert [
        [told.address, told.action, "hard" if told.hard else "soft", told.cause] for told in bounce.recipients
    ] == expected


@pytest.mark.parametrize(
    "subject", ["Re: Undelivered Mail Returned to Sender", "Fwd: Mail delivery failed", "Your order"]
)
def test_no_ordinary_mail_is_taken_for_a_bounce(subject: str) -> None:
    raw = f"""\
Return-Path: <ada@x.test>
From: Ada <ada@x.test>
Subject: {subject}

My mail to bob@x.test could not be delivered:

<bob@x.test>: host mx.x.test said: 550 5.1.1 User unknown

What shall I do?
"""
    assert read_bounce(parse(raw.encode())) is None


HOSTILE = [
    b"<a@x.test>:\n" * 80_000,
    b"a@" * 500_000,
    b"a" * 1_000_000,
    b"@" * 1_000_000,
    b" " * 1_000_000,
    b"recipient " * 100_000,
    b"550 5.1.1 unknown " * 50_000,
    b"Final-Recipient: rfc822; a@x.test\nAction: failed\n" * 20_000,
    b"Received: x\n" * 80_000,
    b"----- copy of the " * 50_000,
    b"your message " * 70_000,
    ("не достав" * 60_000).encode(),
]


@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("kind", [b"text/plain", b"text/html", b"message/delivery-status"])
def test_i13_a_megabyte_of_anything_is_read_in_half_a_second(body: bytes, kind: bytes) -> None:
    email = parse(
        b"Return-Path: <>\nFrom: MAILER-DAEMON@x.test\nSubject: Undelivered\nContent-Type: " + kind + b"\n\n" + body
    )
    with within(0.5):
        read_bounce(email)


@given(st.binary(max_size=600))
def test_no_bytes_make_it_raise(body: bytes) -> None:
    read_bounce(parse(b"From: MAILER-DAEMON@x.test\nSubject: Undelivered\n\n" + body))
    read_bounce(parse(dsn("Final-Recipient: rfc822; ").replace(b"Sorry.", body)))


def test_i12_a_report_of_a_report_of_a_report_does_not_lead_down_for_ever() -> None:
    level = (
        b"From: MAILER-DAEMON@x.test\nReturn-Path: <>\nSubject: Undelivered mail\n"
        b"Content-Type: multipart/report; boundary=r%d\n\n--r%d\n\n"
        b"Your message could not be delivered.\n--r%d\nContent-Type: message/rfc822\n\n"
    )
    assert read_bounce(parse(b"".join(level % (at, at, at) for at in range(1200)))) is not None


def test_i13_a_body_of_dashes_is_read_in_no_time() -> None:
    lines = ("-" * 70 + "\n") * 1400
    email = parse(f"From: MAILER-DAEMON@x.test\nSubject: Undelivered mail\nReturn-Path: <>\n\n{lines}".encode())
    with within(0.5):
        read_bounce(email)
