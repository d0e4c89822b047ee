"""Feedback reports: complaints, and what only looks like them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mail.bounce import read_bounce
from core.mail.complaint import Complaint, Feedback, read_complaint
from core.mail.notice import read_notice
from core.mail.parse import parse

ARF = """\
From: feedback@isp.test
Subject: Abuse report
Content-Type: multipart/report; report-type=feedback-report; boundary="b"

--b
Content-Type: text/plain

This is an abuse report.
--b
Content-Type: {kind}

Feedback-Type: {feedback}
User-Agent: SomeISP/1.0
Version: 1
Original-Mail-From: <bounce+tag@ours.test>
Original-Rcpt-To: <Ada@x.test>
Source-IP: 192.0.2.1

--b
Content-Type: message/rfc822

From: us@ours.test
To: undisclosed
Message-ID: <17.abc@ours.test>
Subject: News
List-Unsubscribe: <mailto:unsubscribe+tag@ours.test?subject=x>, <https://ours.test/unsubscribe/x>

Hello
--b--
"""
MICROSOFT = """\
From: staff@hotmail.test
Subject: complaint about message from 192.0.2.1
Content-Type: multipart/mixed; boundary="b"

--b
Content-Type: message/rfc822

X-HmXmrOriginalRecipient: ada@x.test
From: us@ours.test
To: somebody@x.test
Message-ID: <17.abc@ours.test>
Subject: News

Hello
--b--
"""


def read(raw: str) -> Complaint:
    found = read_complaint(parse(raw.encode()))
    assert found is not None
    return found


@pytest.mark.parametrize("kind", ["message/feedback-report", "text/plain"])
def test_a_complaint_is_read(kind: str) -> None:
    found = read(ARF.format(kind=kind, feedback="abuse"))
    assert (found.feedback, found.recipients, found.user_agent) == (Feedback.ABUSE, ("ada@x.test",), "SomeISP/1.0")
    assert found.original.message_id == "<17.abc@ours.test>"
    assert found.own_addresses == ("bounce+tag@ours.test", "unsubscribe+tag@ours.test")


def test_microsofts_form_is_read() -> None:
    found = read(MICROSOFT)
    assert (found.feedback, found.recipients) == (Feedback.ABUSE, ("ada@x.test",))


@pytest.mark.parametrize(
    ("word", "feedback", "is_of_recipient"),
    [
        ("abuse", Feedback.ABUSE, True),
        ("fraud", Feedback.FRAUD, True),
        ("opt-out", Feedback.OPT_OUT, True),
        ("opt-out-list", Feedback.OPT_OUT, True),
        ("not-spam", Feedback.NOT_SPAM, False),
        ("auth-failure", Feedback.AUTH_FAILURE, False),
        ("virus", Feedback.VIRUS, False),
        ("something", Feedback.OTHER, False),
    ],
)
def test_only_some_kinds_are_of_a_recipient(word: str, feedback: Feedback, is_of_recipient: bool) -> None:
    found = read(ARF.format(kind="message/feedback-report", feedback=word))
    assert (found.feedback, found.feedback.is_of_recipient) == (feedback, is_of_recipient)


@pytest.mark.parametrize(
    ("raw", "feedback"),
    [
        ("Subject: Report Domain: ours.test Submitter: isp.test Report-ID: <1>\n\n", Feedback.DMARC),
        (
            'Subject: report\nContent-Type: application/zip; name="isp.test!ours.test!1767222000!1767308400.zip"\n\nPK',
            Feedback.DMARC,
        ),
        ("Subject: x\nContent-Type: multipart/report; report-type=tlsrpt; boundary=b\n\n--b--", Feedback.TLS),
        ("Subject: x\nContent-Type: application/tlsrpt+gzip\n\nx", Feedback.TLS),
    ],
)
def test_counts_of_a_day_are_told_apart(raw: str, feedback: Feedback) -> None:
    assert read(raw).feedback is feedback


@pytest.mark.parametrize(
    "subject", ["Fwd: Report Domain: ours.test Submitter: isp.test Report-ID: <1>", "Look at this"]
)
def test_a_person_may_pass_a_report_on(subject: str) -> None:
    kind = 'application/zip; name="isp.test!ours.test!1767222000!1767308400.zip"'
    assert read_complaint(parse(f"From: ada@x.test\nSubject: {subject}\nContent-Type: {kind}\n\nPK".encode())) is None


@pytest.mark.parametrize("subject", ["Complaint about your message", "Abuse report", "Report about our domain"])
def test_a_person_who_complains_writes_a_mail(subject: str) -> None:
    assert read_complaint(parse(f"From: ada@x.test\nSubject: {subject}\n\nFeedback-Type: abuse".encode())) is None


def test_a_complaint_is_no_bounce() -> None:
    email = parse(ARF.format(kind="message/feedback-report", feedback="abuse").encode())
    assert read_bounce(email) is None
    assert isinstance(read_notice(email, is_automatic=True), Complaint)


@given(st.binary(max_size=400))
def test_no_bytes_make_it_raise(body: bytes) -> None:
    read_complaint(parse(b"Content-Type: message/feedback-report\n\n" + body))
    read_complaint(parse(b"Subject: complaint about message from 192.0.2.1\n" + body))
