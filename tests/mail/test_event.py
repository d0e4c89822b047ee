"""What an invitation says, read from calendars as programs write them."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mail.event import read_event
from core.mail.parse import parse
from tests.budget import within

INVITATION = """BEGIN:VCALENDAR\r
METHOD:REQUEST\r
BEGIN:VTIMEZONE\r
TZID:W. Europe Standard Time\r
BEGIN:STANDARD\r
DTSTART:16010101T030000\r
END:STANDARD\r
END:VTIMEZONE\r
BEGIN:VEVENT\r
UID:1@x.test\r
SUMMARY;LANGUAGE=de:Gespräch\\, erster\r
  Teil\r
LOCATION:Room 1\\; left\r
DTSTART;TZID="W. Europe Standard Time":20240705T100000\r
BEGIN:VALARM\r
SUMMARY:Alarm\r
UID:2\r
END:VALARM\r
END:VEVENT\r
BEGIN:VEVENT\r
SUMMARY:Second\r
END:VEVENT\r
END:VCALENDAR\r
"""


def test_an_invitation_is_read() -> None:
    event = read_event(INVITATION)
    assert event is not None
    assert (event.method, event.uid) == ("REQUEST", "1@x.test")
    assert (event.summary, event.location) == ("Gespräch, erster Teil", "Room 1; left")
    assert (event.starts_at, event.starts_on) == (datetime(2024, 7, 5, 8, tzinfo=UTC), None)


@pytest.mark.parametrize(
    ("start", "starts_at", "starts_on"),
    [
        (":20240705T100000Z", datetime(2024, 7, 5, 10, tzinfo=UTC), None),
        (";TZID=Europe/Berlin:20240705T100000", datetime(2024, 7, 5, 8, tzinfo=UTC), None),
        (";TZID=/mozilla.org/2005/Europe/Berlin:20240705T100000", datetime(2024, 7, 5, 8, tzinfo=UTC), None),
        (";VALUE=DATE:20240705", None, date(2024, 7, 5)),
        (":20240705T100000", None, None),
        (";TZID=Nowhere:20240705T100000", None, None),
        (";TZID=../../etc/passwd:20240705T100000", None, None),
        (";TZID=America:20240705T100000", None, None),
        (":20249905T100000Z", None, None),
        (":tomorrow", None, None),
    ],
)
def test_a_start_is_told_where_it_is_certain(start: str, starts_at: datetime | None, starts_on: date | None) -> None:
    event = read_event(f"BEGIN:VEVENT\nDTSTART{start}\nEND:VEVENT\n", "cancel")
    assert event is not None
    assert (event.method, event.starts_at, event.starts_on) == ("CANCEL", starts_at, starts_on)


def test_a_calendar_part_is_a_file_and_an_event() -> None:
    part = b'Content-Type: text/calendar; method=REQUEST; charset="utf-8"\n\n' + INVITATION.encode()
    email = parse(b"Content-Type: multipart/alternative; boundary=b\n\n--b\n\nCome!\n--b\n" + part + b"\n--b--")
    assert email.text == "Come!"
    assert email.event is not None
    assert email.event.summary == "Gespräch, erster Teil"
    assert [(file.name, file.content) for file in email.files] == [("part-1.ics", INVITATION.encode())]


@given(st.text(st.sampled_from('BEGIN:VEVENT\nDTSTART;TZID="\\,20240705T1Z')) | st.text())
def test_no_text_makes_it_raise(text: str) -> None:
    read_event("BEGIN:VEVENT\n" + text)


@pytest.mark.parametrize("piece", ["A:b\n", 'A;B="c";', 'A;"', "\n ", "BEGIN:X\n", "A;B"])
def test_i8_a_calendar_is_read_in_time(piece: str) -> None:
    with within(0.5):
        read_event("BEGIN:VEVENT\n" + piece * (2_000_000 // len(piece)))
