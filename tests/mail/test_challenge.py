"""Filters that ask for a person, told apart from people who ask for something."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mail.automatic import automatic_reason
from core.mail.challenge import challenge_reason
from core.mail.notice import Challenge, read_notice
from core.mail.parse import parse
from core.mail.values import Bounce
from tests.budget import within

FILTER = "From: filter@x.test\nAuto-Submitted: auto-replied\nSubject: Re: Your invoice\n"


def reason_of(raw: bytes) -> str | None:
    email = parse(raw)
    return challenge_reason(email, is_automatic=automatic_reason(email) is not None)


@pytest.mark.parametrize(
    "text",
    [
        "Your message is being held. Please click on the link below to confirm it.\nhttps://x.test/1",
        "To release your message for delivery, reply to this mail. Click here to have your message delivered.",
        "Your message about 'x' has been waitlisted. Please add yourself to my Guest List.",
        "This account is protected by Bluebottle.",
        "Please confirm that you are a human by clicking below.",
        "Bitte klicken Sie auf den Link, damit Ihre Nachricht zugestellt wird.",
        "Cliquez ici pour que votre message soit remis à son destinataire.",
        "Haga clic en el enlace para que su mensaje sea entregado.",
        "Clique no link para que sua mensagem seja entregue.",
        "Fai clic qui affinché il tuo messaggio sia consegnato.",
        "Нажмите на ссылку, чтобы ваше письмо было доставлено.",
    ],
)
def test_a_challenge_is_known_by_what_it_asks(text: str) -> None:
    assert reason_of(f"{FILTER}\n{text}".encode())


@pytest.mark.parametrize("header", ["X-Tmda-Confirm: x", "X-Bluebottle-Request: <1>", "X-SpamArrest-Note: x"])
def test_a_challenge_is_known_by_its_header(header: str) -> None:
    assert reason_of(f"From: ada@x.test\n{header}\n\nHello".encode())


@pytest.mark.parametrize(
    "raw",
    [
        "From: ada@x.test\nSubject: Order\n\nYour message is held up, please click the link and confirm my order.",
        f"{FILTER}\nYour message has not been delivered yet: the server did not respond. We will deliver this message.",
        f"{FILTER}\nPlease do not reply. Your message is on hold, we try to deliver the message for 3 days.",
        "From: ada@x.test\nSubject: Re: x\n\nPlease confirm that you received my message.",
        f"{FILTER}\nI am away until Monday.",
        f"{FILTER}\n> Your message is being held. Please click the link to confirm it.\nNo longer needed.",
        "From: no-reply@shop.test\nSubject: Welcome\n\nPlease click to confirm your e-mail address.",
        "From: list@x.test\nPrecedence: bulk\nSubject: Your message awaits approval\n\n"
        "Your message to the list is being held until the moderator can review it: http://x.test/mailman/confirm/x/1",
    ],
)
def test_what_asks_for_something_else_is_none(raw: str) -> None:
    assert reason_of(raw.encode()) is None


REPORT = """\
From: noreply@boxbe.test
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

Your message has been waitlisted. Click the link below to be added, so your messages go to my inbox: https://x.test/1
Please add yourself to my guest list.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; x.test

Final-Recipient: rfc822; ada@x.test
Action: failed
Status: {status}

--b--
"""


def test_in_the_form_of_a_report_it_is_no_failure_of_the_address() -> None:
    assert isinstance(read_notice(parse(REPORT.format(status="4.7.0").encode()), is_automatic=False), Challenge)
    assert isinstance(read_notice(parse(REPORT.format(status="5.1.1").encode()), is_automatic=False), Bounce)


@pytest.mark.parametrize(
    "body", [b"click " * 160_000, b"your message held " * 50_000, b" " * 1_000_000, b"confirm\n" * 120_000]
)
def test_i13_a_megabyte_of_anything_is_read_in_half_a_second(body: bytes) -> None:
    email = parse(FILTER.encode() + b"\n" + body)
    with within(0.5):
        challenge_reason(email, is_automatic=automatic_reason(email) is not None)


@given(st.binary(max_size=400))
def test_no_bytes_make_it_raise(body: bytes) -> None:
    reason_of(FILTER.encode() + b"\n" + body)
