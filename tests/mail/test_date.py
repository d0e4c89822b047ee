"""Dates as senders write them."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mail.date import read_date


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("Tue, 5 Mar 2024 10:11:12 +0100", at(2024, 3, 5, 9, 11, 12)),
        ("Tue, 05 Mar 2024 10:11:12 -0700 (PDT)", at(2024, 3, 5, 17, 11, 12)),
        ("5 Mar 2024 10:11 GMT", at(2024, 3, 5, 10, 11)),
        ("Tue, 5 Mar 2024 10:11:12", at(2024, 3, 5, 10, 11, 12)),
        ("Tue,5 Mar 2024 10:11:12 EST", at(2024, 3, 5, 15, 11, 12)),
        ("5 Mar 2024 10:11:12 CEST", at(2024, 3, 5, 8, 11, 12)),
        ("5 Mar 2024 10:11:12 J", at(2024, 3, 5, 10, 11, 12)),
        ("5 Mar 2024 10:11:12 +0100 CET", at(2024, 3, 5, 9, 11, 12)),
        ("5 Mar 2024 10:11:12 GMT+0200", at(2024, 3, 5, 8, 11, 12)),
        ("5 Mar 2024 10:11:12 +02:00", at(2024, 3, 5, 8, 11, 12)),
        ("5 Mar 2024 10:11:12 +2", at(2024, 3, 5, 8, 11, 12)),
        ("5 Mar 2024 10:11:12 NOWHERE", at(2024, 3, 5, 10, 11, 12)),
        ("5 Mar 2024 10:11:12 +999999999", at(2024, 3, 5, 10, 11, 12)),
        ("Fri, 21 Nov 97 09(comment):55:06 -0600", at(1997, 11, 21, 15, 55, 6)),
        ("Fri, 21 Nov 1997 09 : 55 : 06 -0600", at(1997, 11, 21, 15, 55, 6)),
        ("5 Mar 24 10:11:12 +0000", at(2024, 3, 5, 10, 11, 12)),
        ("5 Mar 124 10:11:12 +0000", at(2024, 3, 5, 10, 11, 12)),
        ("Tue Mar  5 10:11:12 2024", at(2024, 3, 5, 10, 11, 12)),
        ("Tue Mar  5 10:11:12 CET 2024", at(2024, 3, 5, 9, 11, 12)),
        ("Tue Mar 05 2024 10:11:12 GMT+0100 (Mitteleurop\u00e4ische Normalzeit)", at(2024, 3, 5, 9, 11, 12)),
        ("Tuesday, March 5, 2024 3:04 PM", at(2024, 3, 5, 15, 4)),
        ("Tue, 5 Mar 2024 12:04 AM", at(2024, 3, 5, 0, 4)),
        ("Tue, 5 Mar 2024 10.11.12 +0100", at(2024, 3, 5, 9, 11, 12)),
        ("Tue, 5-Mar-2024 10:11:12 GMT", at(2024, 3, 5, 10, 11, 12)),
        ("Di, 5 M\u00e4r 2024 10:11:12 +0100", at(2024, 3, 5, 9, 11, 12)),
        ("mar., 5 mars 2024 10:11:12 +0100", at(2024, 3, 5, 9, 11, 12)),
        ("mar., 5 ene. 2024 10:11:12", at(2024, 1, 5, 10, 11, 12)),
        ("2024-03-05T10:11:12Z", at(2024, 3, 5, 10, 11, 12)),
        ("2024-03-05 10:11:12.123456+05:30", at(2024, 3, 5, 4, 41, 12)),
        ("05.03.2024 10:11", at(2024, 3, 5, 10, 11)),
        ("03/05/2024 10:11 PM", at(2024, 3, 5, 22, 11)),
        ("25/03/2024 10:11", at(2024, 3, 25, 10, 11)),
        ("2024-25-03 10:11", at(2024, 3, 25, 10, 11)),
        ("5 Mar 2024", at(2024, 3, 5)),
        ("5 Mar 2024 24:00:00 +0000", at(2024, 3, 6)),
        ("31 Dec 2016 23:59:60 +0000", at(2016, 12, 31, 23, 59, 59)),
        ("31 Feb 2024 10:11:12 +0000", None),
        ("5 Mar 2024 25:00:00 +0000", None),
        ("5 Mar 2024 10:11:12 +2500", None),
        ("1 Jan 1970 00:00:00 +0000", None),
        ("1 Jan 1980 00:00:00 +0000", None),
        ("31 Dec 9999 23:59:59 -1400", None),
        ("5 Mar 0024 10:11:12", None),
        ("1709632800", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_a_date_is_read_in_each_of_its_forms(text: str, moment: datetime | None) -> None:
    assert read_date(text) == moment


@given(st.datetimes(min_value=datetime(1982, 1, 2), max_value=datetime(2099, 12, 30)))  # noqa: DTZ001
def test_a_proper_date_is_read_exactly(naive: datetime) -> None:
    moment = naive.replace(microsecond=0, tzinfo=UTC)
    assert read_date(format_datetime(moment)) == moment


@given(st.text(max_size=300) | st.text(st.sampled_from("0123456789:./-+ TZamprJan,()"), max_size=250))
def test_no_text_makes_it_raise(text: str) -> None:
    read_date(text)
