from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.web.files import disposition
from core.web.words import attachment_name, clock_text, distance, mark, model_title, plain_text, size_text, zone

AT = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("ago", "text"),
    [
        (timedelta(0), "just now"),
        (timedelta(seconds=-30), "in a moment"),
        (timedelta(minutes=5), "5 min ago"),
        (timedelta(hours=-3), "in 3 h"),
        (timedelta(days=2), "2 d ago"),
    ],
)
def test_distances(ago: timedelta, text: str) -> None:
    assert distance(AT - ago, AT) == text


def test_times_are_in_the_reader_s_zone() -> None:
    assert clock_text(AT, zone("Europe/Berlin")) == "1 Jul 2026, 14:00 CEST"
    assert clock_text(AT, zone("../etc/passwd")) == "1 Jul 2026, 12:00 UTC"
    assert clock_text(datetime.max.replace(tzinfo=UTC), zone("Asia/Tokyo")) == "31 Dec 9999, 23:59 UTC"
    assert clock_text(datetime.min.replace(tzinfo=UTC), zone("America/New_York")).startswith("1 Jan")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "—"), ("", "—"), (True, "Yes"), (0, "0"), (Decimal("1280.0000"), "1,280.00"),
        (Decimal("0.125"), "0.125"), (Decimal("1E+3"), "1,000.00"), (AT.date(), "1 Jul 2026"), (["a", 1], "a, 1"),
    ],
)  # fmt: skip
def test_values(value: object, text: str) -> None:
    assert plain_text(value) == text


def test_titles_sizes_and_states() -> None:
    assert model_title("FinancialDocument") == "Financial document"
    assert [size_text(size) for size in (812, 14_400, 2_100_000)] == ["812 B", "14 kB", "2.1 MB"]
    assert mark("Sent").word == "Sent"
    assert mark("unheard of").word == "unheard of"
    assert mark(None).word == "None"


def test_turned_writing_is_shown() -> None:
    assert attachment_name("invoice\u202efdp.exe") == "invoice[U+202E]fdp.exe"


@given(st.text())
def test_any_name_makes_a_clean_header(name: str) -> None:
    header = disposition(name)
    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') == 2
    assert len(header) < 2200
