from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.delivery.phone import phone_number, sms_length
from core.errors import AddressError


@pytest.mark.parametrize(
    ("written", "region", "number"),
    [
        ("+49 151 12345678", "", "+4915112345678"),
        ("0049 (151) 1234-5678", "", "+4915112345678"),
        ("0151 12345678", "DE", "+4915112345678"),
        ("(020) 7946 0151", "GB", "+442079460151"),
        ("+1 650.253.0000", "DE", "+16502530000"),
    ],
)
def test_a_number_has_one_form(written: str, region: str, number: str) -> None:
    assert phone_number(written, region) == number


@pytest.mark.parametrize(
    "written",
    ["", "0151 12345678", "+49", "+49 151 12345678 ext 4", "+1-800-FLOWERS", "a@b.example", "+4915\r\n1", "٣" * 9],
)
def test_what_is_no_number_is_refused_in_words(written: str) -> None:
    with pytest.raises(AddressError, match="no telephone number"):
        phone_number(written)


@given(st.text(max_size=50))
def test_a_number_is_digits_or_an_error(text: str) -> None:
    try:
        number = phone_number(text, "DE")
    except AddressError:
        return
    assert number.startswith("+")
    assert number[1:].isascii()
    assert number[1:].isdecimal()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "0 characters, 1 segment (GSM-7)"),
        ("a" * 160, "160 characters, 1 segment (GSM-7)"),
        ("a" * 161, "161 characters, 2 segments (GSM-7)"),
        ("€" * 80, "160 characters, 1 segment (GSM-7)"),
        ("a" * 152 + "€" + "a" * 152, "306 characters, 3 segments (GSM-7)"),
        ("ł" * 70, "70 characters, 1 segment (UCS-2)"),
        ("ł" * 71, "71 characters, 2 segments (UCS-2)"),
        ("😀" * 35, "70 characters, 1 segment (UCS-2)"),
        ("😀" * 67, "134 characters, 3 segments (UCS-2)"),
    ],
)
def test_a_text_has_a_length(text: str, words: str) -> None:
    assert str(sms_length(text)) == words
