from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ..signature import phone_in_signature


@pytest.mark.parametrize(
    ("text", "phone"),
    [
        ("Hello,\n\nplease call.\n\n-- \nAnn\nTel.: +44 20 7946 0958", "+44 20 7946 0958"),
        ("Hi\n\nBob | Phone 555-010-9999 | bob@x.example", "555-010-9999"),
        ("Grüße\nJonas\nTelefon (0221) 4710-815\nFax 0221 4710 816", "(0221) 4710-815"),
        ("Best\nAnn\n+1 (212) 555-0101", "+1 (212) 555-0101"),
        ("Mobile: +44 7700 900123\nm +44 7700 900123", "+44 7700 900123"),
        ("Tel 0221 111111\nMobile 0170 2222222", ""),
        ("Your order 4711 0815 1234 came.", ""),
        ("2026-01-31", ""),
        ("Tel. 4711", ""),
        ("> Tel. +44 20 7946 0958", ""),
        ("IBAN DE89 3704 0044 0532 0130 00", ""),
        ("Tel. 1234567890123456789", ""),
        ("", ""),
    ],
)
def test_only_a_number_that_says_it_is_one_is_taken(text: str, phone: str) -> None:
    assert phone_in_signature(text) == phone


def test_a_number_far_above_the_signature_is_left_alone() -> None:
    assert phone_in_signature("Tel. +44 20 7946 0958\n" + "a line\n" * 20) == ""


@given(st.text(alphabet="tel.:+ 0123456789()-/\n|m", max_size=400))
def test_whatever_comes_out_is_in_the_text(text: str) -> None:
    phone = phone_in_signature(text)
    assert phone == "" or phone in " ".join(text.split())
    assert len(phone) <= 30


@pytest.mark.parametrize("text", [" " * 200_000 + "x", "+1" + " (" * 100_000, "tel " * 100_000, "|" * 200_000])
def test_hostile_text_takes_no_time(text: str) -> None:
    start = time.perf_counter()
    phone_in_signature(text)
    assert time.perf_counter() - start < 0.5


def test_a_line_made_to_stall_is_passed_over_at_once() -> None:
    """I13: two runs of spaces beside a label took time that grew with their square."""
    started_at = time.perf_counter()
    assert phone_in_signature("t" + " " * 200_000 + "\nTel. +44 20 7946 0000") == "+44 20 7946 0000"
    assert time.perf_counter() - started_at < 1
