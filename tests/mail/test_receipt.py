"""Read receipts, with their form and without."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mail.notice import read_notice
from core.mail.parse import parse
from core.mail.receipt import Disposition, Receipt, read_receipt

MDN = """\
From: Ada <ada@x.test>
Subject: Read: Your invoice
Content-Type: multipart/report; report-type=disposition-notification; boundary="b"

--b
Content-Type: text/plain

Your message was read.
--b
Content-Type: message/disposition-notification

Reporting-UA: x.test; Mail 1.0
Final-Recipient: rfc822; ada@x.test
Original-Message-ID: <17.abc@ours.test>
Disposition: {disposition}

--b--
"""


@pytest.mark.parametrize(
    ("disposition", "expected"),
    [
        ("manual-action/MDN-sent-manually; displayed", Disposition.DISPLAYED),
        ("automatic-action/MDN-sent-automatically;displayed/error", Disposition.DISPLAYED),
        ("manual-action/MDN-sent-manually; deleted", Disposition.DELETED),
        ("automatic-action/MDN-sent-automatically; dispatched", Disposition.OTHER),
        ("x", Disposition.OTHER),
    ],
)
def test_a_receipt_is_read(disposition: str, expected: Disposition) -> None:
    email = parse(MDN.format(disposition=disposition).encode())
    assert read_receipt(email) == Receipt(
        disposition=expected, recipients=("ada@x.test",), original_message_ids=("<17.abc@ours.test>",)
    )
    assert isinstance(read_notice(email, is_automatic=True), Receipt)


@pytest.mark.parametrize(
    ("subject", "text", "expected"),
    [
        ("Read: Your invoice", "Your message To: Ada Subject: Your invoice was read on 5 January.", "displayed"),
        ("Gelesen: Ihre Rechnung", "Ihre Nachricht An: Ada wurde am 5. Januar gelesen.", "displayed"),
        ("Lu : Votre facture", "Votre message a été lu le 5 janvier.", "displayed"),
        ("Not read: Your invoice", "Your message To: Ada was deleted without being read on 5 January.", "deleted"),
        ("Return Receipt", "Your document: Your invoice was received by: Ada at: 5 January", "displayed"),
    ],
)
def test_one_without_the_form_is_read(subject: str, text: str, expected: str) -> None:
    raw = f"From: ada@x.test\nIn-Reply-To: <17.abc@ours.test>\nSubject: {subject}\n\n{text}"
    found = read_receipt(parse(raw.encode()))
    assert found is not None
    assert (found.disposition, found.original_message_ids) == (expected, ("<17.abc@ours.test>",))


@pytest.mark.parametrize(
    "raw",
    [
        "Subject: Read: the new book\nIn-Reply-To: <1@x.test>\n\nI read it, it was good.",
        "Subject: Read: the terms\n\nYour message was read on Monday.",
        "Subject: Re: Read: x\nIn-Reply-To: <1@x.test>\n\nYour message was read on Monday.",
    ],
)
def test_a_person_sends_none(raw: str) -> None:
    assert read_receipt(parse(raw.encode())) is None


@given(st.binary(max_size=400))
def test_no_bytes_make_it_raise(body: bytes) -> None:
    read_receipt(parse(b"Content-Type: message/disposition-notification\n\n" + body))
    read_receipt(parse(b"In-Reply-To: <1@x.test>\nSubject: Read: " + body))
