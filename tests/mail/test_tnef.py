"""Outlook's winmail.dat: what is in it comes out, and nothing in it can do harm."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mail.parse import parse
from core.mail.tnef import read_tnef
from tests.mail.test_rtf import packed

SIGNATURE = b"\x78\x9f\x3e\x22\x01\x00"


def attribute(number: int, value: bytes, level: int = 1) -> bytes:
    return bytes((level,)) + number.to_bytes(4, "little") + len(value).to_bytes(4, "little") + value + b"\0\0"


def told(number: int, kind: int, value: bytes) -> bytes:
    """Return a property whose type says its length."""
    padded = value + bytes(-len(value) % 4)
    head = kind.to_bytes(2, "little") + number.to_bytes(2, "little") + (1).to_bytes(4, "little")
    return head + len(value).to_bytes(4, "little") + padded


def properties(*of: bytes) -> bytes:
    return len(of).to_bytes(4, "little") + b"".join(of)


def wide(text: str) -> bytes:
    return (text + "\0").encode("utf_16_le")


NAMED = b"\x1f\x00\x01\x80" + bytes(16) + b"\x01\0\0\0\x06\0\0\0a\0b\0\0\0\0\0" + b"\x01\0\0\0\x04\0\0\0x\0\0\0"
NUMBER = b"\x03\x00\x17\x00\x01\0\0\0"
MANY = b"\x03\x10\x18\x00\x02\0\0\0\x01\0\0\0\x02\0\0\0"

WHOLE = (
    SIGNATURE
    + attribute(0x00069007, (1252).to_bytes(4, "little") + bytes(4))
    + attribute(
        0x00069003,
        properties(
            NUMBER,
            NAMED,
            MANY,
            told(0x0037, 0x1F, wide("Grüße")),
            told(0x1009, 0x102, packed(rb"{\rtf1\ansi\fromhtml1 {\*\htmltag64 <p>}Hello{\*\htmltag72 </p>}}")),
            told(0x1000, 0x1E, b"Hello\0"),
        ),
    )
    + attribute(0x00069002, bytes(14), level=2)
    + attribute(0x00018010, b"REPORT~1.PDF\0", level=2)
    + attribute(0x0006800F, b"%PDF-1.4", level=2)
    + attribute(0x00069005, properties(told(0x3707, 0x1F, wide("Bericht März.pdf"))), level=2)
    + attribute(0x00069002, bytes(14), level=2)
    + attribute(0x0006800F, b"\x89PNG", level=2)
    + attribute(
        0x00069005,
        properties(
            told(0x3704, 0x1E, b"logo.png\0"),
            told(0x370E, 0x1E, b"image/png\0"),
            told(0x3712, 0x1E, b"<logo@x>\0"),
        ),
        level=2,
    )
)


def test_body_and_files_come_out() -> None:
    found = read_tnef(WHOLE)
    assert found is not None
    assert (found.subject, found.text, found.html) == ("Grüße", "Hello", "<p>Hello</p>")
    assert [(file.name, file.content_type, file.content_id, file.content) for file in found.files] == [
        ("Bericht März.pdf", "", "", b"%PDF-1.4"),
        ("logo.png", "image/png", "logo@x", b"\x89PNG"),
    ]


def test_a_message_within_is_read_too() -> None:
    inner = SIGNATURE + attribute(
        0x00069003, properties(told(0x0037, 0x1F, wide("Inner")), told(0x1000, 0x1E, b"In\0"))
    )
    outer = SIGNATURE + attribute(0x00069002, bytes(14), level=2)
    outer += attribute(0x00069005, properties(told(0x3701, 0x0D, bytes(16) + inner)), level=2)
    found = read_tnef(outer)
    assert found is not None
    assert [(file.name, file.content_type, file.content) for file in found.files] == [
        ("Inner.txt", "text/plain", b"In")
    ]


def test_within_a_mail_the_files_stand_beside_the_original() -> None:
    mail = b"From: a@x.test\nContent-Type: application/ms-tnef; name=winmail.dat\n\n" + WHOLE
    email = parse(mail)
    assert (email.text, email.html) == ("Hello", "<p>Hello</p>")
    assert [(file.name, file.content_type) for file in email.files] == [
        ("winmail.dat", "application/ms-tnef"),
        ("Bericht März.pdf", "application/octet-stream"),
        ("logo.png", "image/png"),
    ]
    assert email.files[0].content == WHOLE


def test_the_text_of_the_mail_comes_before_that_of_winmail_dat() -> None:
    head = b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nwords\n--b\nContent-Type: application/ms-tnef\n\n"
    email = parse(head + WHOLE + b"\n--b--\n")
    assert (email.text, email.html) == ("words", None)


@pytest.mark.parametrize("end", range(0, len(WHOLE), 7))
def test_cut_anywhere_it_gives_what_was_there(end: int) -> None:
    read_tnef(WHOLE[:end])


@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=4)), max_size=8))
def test_no_bytes_make_it_raise(changes: list[tuple[int, bytes]]) -> None:
    data = bytearray(WHOLE)
    for at, put in changes:
        data[at : at + len(put)] = put
    read_tnef(bytes(data))
    email = parse(b"Content-Type: application/ms-tnef\n\n" + bytes(data))
    for text in (email.text or "", email.html or "", *(file.name for file in email.files)):
        assert "\0" not in text.encode().decode()


def test_other_bytes_are_none() -> None:
    assert read_tnef(b"") is None
    assert read_tnef(b"PK\x03\x04") is None
    assert parse(b"Content-Type: application/ms-tnef\n\nPK").files[0].name == "winmail.dat"
