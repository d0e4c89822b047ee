"""Invitations: what each method must say, times as they are meant, and no line but the intended ones."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import icalendar
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import UserError
from core.mail.invite import Attendee, AttendeeAnswer, AttendeeRole, Invite, InviteMethod, calendar_of, invitation
from core.mail.values import Mailbox

ZURICH = ZoneInfo("Europe/Zurich")
STAMP = datetime(2026, 5, 1, 8, 0, 0, 999, tzinfo=timezone(timedelta(hours=2)))
REVIEW = Invite(
    uid="17@example.org",
    summary="Review",
    starts_at=datetime(2026, 7, 1, 10, tzinfo=ZURICH),
    ends_at=datetime(2026, 7, 1, 11, tzinfo=ZURICH),
    organizer=Mailbox("Alice", "alice@example.org"),
    attendees=(Attendee(Mailbox("Bob", "bob@example.net")),),
)


def lines_of(invite: Invite) -> list[str]:
    """Unfold by hand (RFC 5545 section 3.1)."""
    text = invitation(invite, STAMP).text
    assert text.endswith("\r\n")
    assert text.count("\r\n") == text.count("\n") == text.count("\r")
    assert max(len(line.encode()) for line in text.split("\r\n")) <= 75
    return text.replace("\r\n ", "").split("\r\n")[:-1]


def event_of(invite: Invite) -> Any:
    (event,) = icalendar.Calendar.from_ical(invitation(invite, STAMP).text).walk("VEVENT")
    return event


def test_a_request_says_all_that_it_must() -> None:
    lines = lines_of(replace(REVIEW, location="Room 1", description="First\nSecond", alarm_minutes=15))
    for line in (
        *("METHOD:REQUEST", "UID:17@example.org", "SEQUENCE:0", "STATUS:CONFIRMED", "DTSTAMP:20260501T060000Z"),
        *("DTSTART;TZID=Europe/Zurich:20260701T100000", "DTEND;TZID=Europe/Zurich:20260701T110000"),
        *("TZID:Europe/Zurich", "LOCATION:Room 1", r"DESCRIPTION:First\nSecond", "TRIGGER:-PT15M"),
        "ORGANIZER;CN=Alice:mailto:alice@example.org",
        "ATTENDEE;CN=Bob;PARTSTAT=NEEDS-ACTION;ROLE=REQ-PARTICIPANT;RSVP=TRUE:mailto:bob@example.net",
    ):
        assert lines.count(line) == 1, line
    assert invitation(REVIEW, STAMP).method == "REQUEST"


def test_a_cancellation_wakes_nobody_and_asks_for_no_answer() -> None:
    lines = lines_of(replace(REVIEW, method=InviteMethod.CANCEL, sequence=1, alarm_minutes=15))
    assert {"METHOD:CANCEL", "STATUS:CANCELLED", "SEQUENCE:1"} <= set(lines)
    assert not any("RSVP" in line or "VALARM" in line for line in lines)


def test_an_answer_is_of_one_attendee() -> None:
    attendee = Attendee(Mailbox("Bob", "bob@example.net"), AttendeeRole.OPTIONAL, AttendeeAnswer.ACCEPTED)
    lines = lines_of(replace(REVIEW, method=InviteMethod.REPLY, attendees=(attendee,)))
    assert "ATTENDEE;CN=Bob;PARTSTAT=ACCEPTED;ROLE=OPT-PARTICIPANT:mailto:bob@example.net" in lines
    for others in ((), (attendee, attendee)):
        with pytest.raises(UserError, match="one attendee"):
            invitation(replace(REVIEW, method=InviteMethod.REPLY, attendees=others), STAMP)


def test_the_same_value_gives_the_same_text() -> None:
    assert invitation(REVIEW, STAMP) == invitation(REVIEW, STAMP)


def test_days_are_those_that_the_event_has_a_part_of() -> None:
    day = replace(REVIEW, is_all_day=True, starts_at=datetime(2026, 7, 1, tzinfo=ZURICH))
    for ends_at, day_after in ((datetime(2026, 7, 3), "20260703"), (datetime(2026, 7, 2, 17), "20260703")):  # noqa: DTZ001
        lines = lines_of(replace(day, ends_at=ends_at.replace(tzinfo=ZURICH)))
        assert {"DTSTART;VALUE=DATE:20260701", f"DTEND;VALUE=DATE:{day_after}"} <= set(lines)
        assert "BEGIN:VTIMEZONE" not in lines


@pytest.mark.parametrize("zone", [UTC, ZoneInfo("UTC"), ZoneInfo("Etc/UTC"), timezone(timedelta(hours=2))])
def test_what_is_no_named_zone_goes_as_utc(zone: Any) -> None:
    start = datetime(2026, 7, 1, 10, tzinfo=zone)
    lines = lines_of(replace(REVIEW, starts_at=start, ends_at=start + timedelta(hours=1)))
    assert f"DTSTART:{start.astimezone(UTC):%Y%m%dT%H%M%SZ}" in lines
    assert "BEGIN:VTIMEZONE" not in lines


@given(st.integers(0, 365 * 24 * 4), st.sampled_from(["Europe/Zurich", "America/New_York", "Australia/Sydney"]))
@settings(max_examples=60, deadline=None)
def test_a_time_is_read_back_as_the_same_moment(quarters: int, name: str) -> None:
    start = (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=15 * quarters)).astimezone(ZoneInfo(name))
    event = event_of(replace(REVIEW, starts_at=start, ends_at=start + timedelta(minutes=45)))
    assert event.start.astimezone(UTC) == start.astimezone(UTC)
    assert event.end.astimezone(UTC) == (start.astimezone(UTC) + timedelta(minutes=45))


texts = st.text(st.characters(exclude_categories=("C", "Zl", "Zp")), max_size=200).map(str.strip)


@given(texts, texts, st.lists(texts, max_size=4).map("\n".join))
@settings(max_examples=100, deadline=None)
def test_texts_are_read_back_as_they_were(summary: str, location: str, description: str) -> None:
    written = replace(REVIEW, summary=summary, location=location, description=description)
    lines_of(written)
    event = event_of(written)
    assert (event["summary"], event.get("location", "")) == (summary, location)
    assert event.get("description", "") == "\n".join(description.splitlines())


def test_a_recurrence_is_a_rule() -> None:
    lines = lines_of(replace(REVIEW, recurrence="FREQ=WEEKLY;COUNT=4"))
    assert "RRULE:FREQ=WEEKLY;COUNT=4" in lines
    assert "RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10" in lines
    for wrong in ("weekly", "FREQ=NEVER", "COUNT=4", "FREQ=WEEKLY\r\nX-EVIL:1", "FREQ=WEEKLY;UNTIL=soon"):
        with pytest.raises(UserError, match=r"recurrence|header"):
            invitation(replace(REVIEW, recurrence=wrong), STAMP)


@pytest.mark.parametrize(
    "wrong",
    [
        {"starts_at": datetime(2026, 7, 1)},  # noqa: DTZ001
        {"ends_at": REVIEW.starts_at},
        {"uid": " "},
        {"uid": "x" * 300},
        {"organizer": Mailbox("", "not an address")},
        {"starts_at": datetime(1, 1, 1, tzinfo=ZoneInfo("Asia/Tokyo"))},
        {"ends_at": datetime(9998, 12, 31, tzinfo=ZoneInfo("America/New_York")), "recurrence": "FREQ=DAILY"},
        {"sequence": 10**30},
        {"sequence": -1},
        {"alarm_minutes": 10**12},
    ],
)
def test_what_makes_no_event_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        invitation(replace(REVIEW, **wrong), STAMP)


@pytest.mark.parametrize("break_", ["\r", "\n", "\r\n", "\0", "\x0b", "\x0c", "\x85", "\u2028", "\u2029", "\ud800"])
@pytest.mark.parametrize(
    "made",
    [
        lambda bad: {"uid": bad},
        lambda bad: {"summary": bad},
        lambda bad: {"location": bad},
        lambda bad: {"recurrence": "FREQ=WEEKLY" + bad},
        lambda bad: {"organizer": Mailbox(bad, "a@x.test")},
        lambda bad: {"attendees": (Attendee(Mailbox(bad, "a@x.test")),)},
        lambda bad: {"attendees": (Attendee(Mailbox("", f"a{bad}@x.test")),)},
    ],
)
def test_s1_no_property_can_be_added(break_: str, made: Any) -> None:
    with pytest.raises(UserError):
        invitation(replace(REVIEW, **made(f"x{break_}ATTENDEE:mailto:evil@x.test")), STAMP)


def test_s1_a_description_adds_no_property() -> None:
    for break_ in ("\r", "\n", "\x0b", "\x0c", "\x85", "\u2028", "\\n"):
        lines = lines_of(replace(REVIEW, description=f"x{break_}ATTENDEE:mailto:evil@x.test"))
        assert sum(line.startswith("ATTENDEE") for line in lines) == 1
    lines = lines_of(replace(REVIEW, attendees=(Attendee(Mailbox('B":mailto:evil@x.test;X="', "bob@x.test")),)))
    assert "ATTENDEE;CN=\"B':mailto:evil@x.test;X='\";PARTSTAT=NEEDS-ACTION;ROLE=REQ-PARTICIPANT;RSVP=TRUE:mailto:bob@x.test" in lines  # fmt: skip  # noqa: E501


def test_stored_text_tells_its_method() -> None:
    for method in (InviteMethod.REQUEST, InviteMethod.CANCEL):
        made = invitation(replace(REVIEW, method=method), STAMP)
        assert calendar_of(made.text) == made
        assert calendar_of(made.text.replace("\r\n", "\n")).method == method
    with pytest.raises(UserError, match="METHOD"):
        calendar_of("BEGIN:VCALENDAR\r\nX-METHOD:REQUEST\r\nEND:VCALENDAR")
