"""Due times: calendar-true, anchored, once through both nights on which the clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.cron.schedule import FrequencyUnit, Schedule, describe, next_after
from core.errors import UserError
from tests.budget import within

BERLIN, LORD_HOWE = "Europe/Berlin", "Australia/Lord_Howe"
MONTHS, YEARS, DAYS, HOURS = FrequencyUnit.MONTHS, FrequencyUnit.YEARS, FrequencyUnit.DAYS, FrequencyUnit.HOURS


def every(frequency: int, unit: FrequencyUnit | str, anchor_at: datetime | None, timezone: str = "UTC") -> Schedule:
    return Schedule(frequency, unit, anchor_at, timezone=timezone)


def cron(expression: str, timezone: str = "UTC") -> Schedule:
    return Schedule(cron=expression, timezone=timezone)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def dues(schedule: Schedule, after: str, count: int) -> list[str]:
    found, due = [], at(after)
    for _ in range(count):
        due = next_after(schedule, due)
        found.append(f"{due:%Y-%m-%dT%H:%M}")
    return found


def test_months_are_counted_from_the_anchor() -> None:
    monthly = every(1, MONTHS, at("2026-01-31T12:00"))
    assert dues(monthly, "2026-01-01", 5) == [
        *("2026-01-31T12:00", "2026-02-28T12:00", "2026-03-31T12:00", "2026-04-30T12:00", "2026-05-31T12:00"),
    ]
    quarterly = every(3, MONTHS, at("2026-11-30T00:00"))
    assert dues(quarterly, "2027-01-01", 2) == ["2027-02-28T00:00", "2027-05-30T00:00"]


def test_a_leap_day_comes_on_the_last_day_of_other_years() -> None:
    yearly = every(1, YEARS, at("2024-02-29T06:00"))
    assert dues(yearly, "2024-03-01", 4) == [
        *("2025-02-28T06:00", "2026-02-28T06:00", "2027-02-28T06:00", "2028-02-29T06:00"),
    ]


@pytest.mark.parametrize("schedule", [every(1, DAYS, at("2026-03-01T01:30"), BERLIN), cron("30 2 * * *", BERLIN)])
def test_a_skipped_time_is_due_when_the_clocks_jump(schedule: Schedule) -> None:
    assert dues(schedule, "2026-03-28T00:00", 3) == ["2026-03-28T01:30", "2026-03-29T01:00", "2026-03-30T00:30"]


@pytest.mark.parametrize("schedule", [every(1, DAYS, at("2026-10-01T00:30"), BERLIN), cron("30 2 * * *", BERLIN)])
def test_a_repeated_time_is_due_once(schedule: Schedule) -> None:
    assert dues(schedule, "2026-10-24T00:00", 3) == ["2026-10-24T00:30", "2026-10-25T00:30", "2026-10-26T01:30"]
    for moment in ("2026-10-25T00:45", "2026-10-25T01:00", "2026-10-25T01:15", "2026-10-25T01:30"):
        assert dues(schedule, moment, 1) == ["2026-10-26T01:30"]


def test_hours_and_minutes_are_elapsed_time() -> None:
    hourly = every(1, HOURS, at("2026-10-24T23:30"), BERLIN)
    assert dues(hourly, "2026-10-24T23:30", 3) == ["2026-10-25T00:30", "2026-10-25T01:30", "2026-10-25T02:30"]
    every_hour = cron("30 * * * *", BERLIN)
    assert dues(every_hour, "2026-10-25T00:00", 3) == ["2026-10-25T00:30", "2026-10-25T01:30", "2026-10-25T02:30"]


def test_a_zone_that_shifts_by_half_an_hour() -> None:
    daily = every(1, DAYS, at("2026-09-30T15:45"), LORD_HOWE)
    assert dues(daily, "2026-10-02T00:00", 3) == ["2026-10-02T15:45", "2026-10-03T15:30", "2026-10-04T15:15"]
    back = every(1, DAYS, at("2026-04-01T14:45"), LORD_HOWE)
    assert dues(back, "2026-04-03T15:00", 3) == ["2026-04-04T14:45", "2026-04-05T15:15", "2026-04-06T15:15"]


def test_a_day_that_a_zone_skips() -> None:
    daily = every(1, DAYS, at("2011-12-28T20:00"), "Pacific/Apia")
    assert dues(daily, "2011-12-28T19:00", 4) == [
        *("2011-12-28T20:00", "2011-12-29T20:00", "2011-12-30T10:00", "2011-12-30T20:00"),
    ]


def test_an_old_anchor_costs_nothing() -> None:
    with within(1):
        for unit in FrequencyUnit:
            for _ in range(100):
                next_after(every(1, unit, at("1970-01-01"), BERLIN), at("2026-06-01"))


def days_between(first: int, last: int) -> st.SearchStrategy[datetime]:
    start = at(f"{first}-01-01")
    return st.timedeltas(timedelta(0), at(f"{last}-01-01") - start).map(lambda span: start + span)


periods = st.builds(
    every,
    frequency=st.integers(1, 100),
    unit=st.sampled_from(FrequencyUnit),
    anchor_at=days_between(1990, 2040),
    timezone=st.sampled_from([BERLIN, LORD_HOWE, "UTC", "America/Sao_Paulo", "Pacific/Apia", "Asia/Kathmandu"]),
)
expressions = st.builds(
    cron,
    expression=st.sampled_from(
        ["* * * * *", "30 2 * * *", "15,45 2 * * *", "*/7 * * * *", "0 0 29 2 *", "5 4 L * MON"]
    ),
    timezone=st.sampled_from([BERLIN, LORD_HOWE, "UTC", "America/Sao_Paulo"]),
)
moments = days_between(2000, 2040) | st.sampled_from(
    [at("2026-03-29T00:30") + timedelta(minutes=5 * step) for step in range(24)]
    + [at("2026-10-25T00:00") + timedelta(minutes=5 * step) for step in range(24)]
)


@given(periods | expressions, moments)
def test_the_next_due_time_is_later_and_the_first(schedule: Schedule, after: datetime) -> None:
    due = next_after(schedule, after)
    assert due > after
    assert due.tzinfo is UTC
    assert next_after(schedule, due - timedelta(microseconds=1)) == due
    assert next_after(schedule, after + (due - after) / 2) == due


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        (every(1, FrequencyUnit.MINUTES, at("2026-01-05")), "every minute"),
        (every(5, FrequencyUnit.MINUTES, at("2026-01-05")), "every 5 minutes"),
        (every(1, DAYS, at("2026-01-05T05:00"), BERLIN), "every day at 06:00 (Europe/Berlin)"),
        (every(2, FrequencyUnit.WEEKS, at("2026-01-05")), "every 2 weeks on Monday at 00:00 (UTC)"),
        (every(1, MONTHS, at("2026-01-05")), "every month on day 5 at 00:00 (UTC)"),
        (
            every(1, MONTHS, at("2026-01-31")),
            "every month on day 31, or the last day of a shorter month, at 00:00 (UTC)",
        ),
        (every(1, YEARS, at("2026-05-01")), "every year on May 1 at 00:00 (UTC)"),
        (cron("0 6 * * MON-FRI", BERLIN), "at 06:00 on Monday through Friday (Europe/Berlin)"),
    ],
)
def test_a_schedule_in_words(schedule: Schedule, words: str) -> None:
    assert describe(schedule) == words


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: every(0, DAYS, at("2026-01-01")), "use 1 or more"),
        (lambda: every(10**9, YEARS, at("2026-01-01")), "over 100 years"),
        (lambda: every(1, "Fortnights", at("2026-01-01")), "not a frequency unit; use one of Minutes, Hours"),
        (lambda: every(1, DAYS, datetime.fromisoformat("2026-01-01")), "has no time zone"),
        (lambda: every(1, DAYS, None), "needs its first due time"),
        (lambda: every(1, DAYS, at("2026-01-01"), "Europe/Berln"), 'Did you mean "Europe/Berlin"'),
        (lambda: cron("* * * *"), "five fields"),
        (lambda: cron("0 0 0 * * *"), "five fields"),
        (lambda: cron("61 * * * *"), "bad minute"),
        (lambda: cron("* * * * FRY"), "bad day-of-week"),
        (lambda: cron("0 0 31 2 *"), "bad day-of-month"),
        (lambda: cron("*/0 * * * *"), "bad minute"),
        (lambda: cron("1," * 500 + "1 * * * *"), "five fields"),
        (lambda: cron("* * * * *", "../../etc/passwd"), "no time zone"),
        (lambda: next_after(every(1, YEARS, at("2026-01-01")), at("9999-06-01")), "year 10000"),
    ],
)
def test_a_bad_schedule_says_what_to_do(make: object, words: str) -> None:
    with pytest.raises(UserError, match=words):
        make()  # type: ignore[operator]


@given(st.text(alphabet="0123456789*/,-#LWMONJAN ", max_size=30))
def test_any_expression_is_a_schedule_or_an_error(text: str) -> None:
    try:
        schedule = cron(text)
    except UserError:
        return
    assert describe(schedule)
