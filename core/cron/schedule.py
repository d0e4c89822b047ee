"""When a cron job is due: pure arithmetic over a period with an anchor, or over a cron expression.

Minutes and hours are spans of elapsed time; days and longer are times on the wall of the schedule's zone. A wall time
that the clocks skip is due at the moment they jump; one that they repeat is due the first time only (the rule of ISC
cron, DELIVERY C10). Nothing here looks at the clock or remembers the last run, so a schedule never drifts.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError

from core.errors import UserError, did_you_mean

LONGEST_DAYS = 36_525
EXPRESSION_CHARS = 256


class FrequencyUnit(StrEnum):
    """What the frequency of a schedule counts."""

    MINUTES = "Minutes"
    HOURS = "Hours"
    DAYS = "Days"
    WEEKS = "Weeks"
    MONTHS = "Months"
    YEARS = "Years"


@dataclass(frozen=True, slots=True)
class Schedule:
    """Due at `anchor_at` (aware) and every so many units from there on; or, where `cron` is given, as that says.

    `cron` is an expression of five fields, read as Debian's cron reads it; `timezone` an IANA name. Raises UserError
    with what to change.
    """

    frequency: int = 1
    unit: FrequencyUnit | str = FrequencyUnit.HOURS
    anchor_at: datetime | None = None
    cron: str | None = None
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        zone_of(self.timezone)
        if self.cron:
            _check_fields(self.cron)
            next_after(self, datetime(2024, 1, 1, tzinfo=UTC))
        else:
            _check_period(self)


def next_after(schedule: Schedule, after: datetime) -> datetime:
    """Return the first due time strictly later than `after` (aware), in UTC; raises UserError when there is none."""
    if schedule.cron:
        return _next_cron(schedule.cron, after, zone_of(schedule.timezone))
    return _due_at(schedule, _next_index(schedule, after))


def describe(schedule: Schedule) -> str:
    """Return a schedule in English words, such as "every 2 weeks on Monday at 06:00 (Europe/Berlin)"."""
    if schedule.cron:
        words = CronSim(schedule.cron, datetime(2024, 1, 1)).explain()  # noqa: DTZ001 - only its words are used
        return f"{words[:1].lower()}{words[1:]} ({schedule.timezone})"
    name = schedule.unit.lower()
    words = f"every {name[:-1]}" if schedule.frequency == 1 else f"every {schedule.frequency} {name}"
    if schedule.unit in _ELAPSED:
        return words
    local = _anchor(schedule).astimezone(zone_of(schedule.timezone))
    day = f"{local.day}, or the last day of a shorter month," if local.day > 28 else f"{local.day}"
    on: dict[str, str] = {
        FrequencyUnit.WEEKS: f" on {calendar.day_name[local.weekday()]}",
        FrequencyUnit.MONTHS: f" on day {day}",
        FrequencyUnit.YEARS: f" on {calendar.month_name[local.month]} {day}",
    }
    return f"{words}{on.get(schedule.unit, '')} at {local:%H:%M} ({schedule.timezone})"


@lru_cache(maxsize=256)
def zone_of(name: str) -> ZoneInfo:
    """Return a time zone by its IANA name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        hint = did_you_mean(name, available_timezones()) or ' Use a name such as "Europe/Berlin".'
        raise UserError(f'There is no time zone "{name}".{hint}') from None


def _check_fields(cron: str) -> None:
    if len(cron) > EXPRESSION_CHARS or len(cron.split()) != 5:
        raise UserError(
            f'"{cron[:EXPRESSION_CHARS]}" is not a cron expression; write five fields: minute, hour, day of month, '
            'month, day of week, such as "0 6 * * MON-FRI".'
        )


def _check_period(schedule: Schedule) -> None:
    count, unit = schedule.frequency, schedule.unit
    if unit not in _DAYS:
        raise UserError(f'"{unit}" is not a frequency unit; use one of {", ".join(FrequencyUnit)}.')
    if count < 1:
        raise UserError(f"A frequency of {count} is never due; use 1 or more.")
    if count * _DAYS[unit] > LONGEST_DAYS:
        raise UserError(f"Every {count} {unit.lower()} is over 100 years; use a smaller frequency.")
    if _anchor(schedule).tzinfo is None:
        raise UserError("The first due time has no time zone; give it in UTC.")


def _anchor(schedule: Schedule) -> datetime:
    if schedule.anchor_at is None:
        raise UserError("A schedule needs its first due time; give anchor_at, or a cron expression.")
    return schedule.anchor_at


def _next_cron(cron: str, after: datetime, zone: ZoneInfo) -> datetime:
    try:
        dues = CronSim(cron, after.astimezone(zone))
        # In the repeated hour it would go back to the first pass.
        return next(due for at in dues if (due := at.astimezone(UTC)) > after)
    except CronSimError as error:
        fault = str(error).removeprefix("Bad ")
        raise UserError(f'The cron expression "{cron}" has a bad {fault}; correct that field.') from None
    except (StopIteration, OverflowError):
        raise UserError(f'The cron expression "{cron}" is never due; correct its day and month.') from None


def _next_index(schedule: Schedule, after: datetime) -> int:
    """Return the least n whose due time is later than `after`: guessed from below, then stepped at most a few times."""
    anchor_at = _anchor(schedule)
    if after < anchor_at:
        return 0
    if schedule.unit in _ELAPSED:
        return (after - anchor_at) // (schedule.frequency * _ELAPSED[schedule.unit]) + 1
    zone = zone_of(schedule.timezone)
    start, end = anchor_at.astimezone(zone), after.astimezone(zone)
    if schedule.unit in _MONTHS:
        passed = (end.year - start.year) * 12 + end.month - start.month
        index = passed // (schedule.frequency * _MONTHS[schedule.unit]) - 1
    else:
        index = (end.date() - start.date()).days // int(schedule.frequency * _DAYS[schedule.unit]) - 1
    index = max(index, 0)
    while _due_at(schedule, index) <= after:
        index += 1
    return index


def _due_at(schedule: Schedule, index: int) -> datetime:
    """Return the due time number `index`, computed from the anchor so that nothing drifts."""
    anchor_at = _anchor(schedule)
    try:
        if schedule.unit in _ELAPSED:
            return (anchor_at + index * schedule.frequency * _ELAPSED[schedule.unit]).astimezone(UTC)
        zone = zone_of(schedule.timezone)
        local = anchor_at.astimezone(zone).replace(tzinfo=None, fold=0)
        if schedule.unit in _MONTHS:
            local = _months_later(local, index * schedule.frequency * _MONTHS[schedule.unit])
        else:
            local += timedelta(days=index * int(schedule.frequency * _DAYS[schedule.unit]))
        return _instant(local, zone)
    except (OverflowError, ValueError):
        raise UserError("The schedule is not due again before the year 10000; use an earlier first due time.") from None


def _months_later(local: datetime, months: int) -> datetime:
    years, month = divmod(local.year * 12 + local.month - 1 + months, 12)
    last = calendar.monthrange(years, month + 1)[1]
    return local.replace(year=years, month=month + 1, day=min(local.day, last))


def _instant(local: datetime, zone: ZoneInfo) -> datetime:
    """Return the moment a wall clock first shows `local`, or when it jumps over it."""
    at = local.replace(tzinfo=zone).astimezone(UTC)
    if at.astimezone(zone).replace(tzinfo=None, fold=0) == local:
        return at
    # `fold=1` reads the skipped time by the clock after the jump, which puts it before the jump: halve until there.
    before, jumped = local.replace(tzinfo=zone, fold=1).astimezone(UTC), at
    offset = jumped.astimezone(zone).utcoffset()
    while jumped - before > timedelta(microseconds=1):
        middle = before + (jumped - before) // 2
        if middle.astimezone(zone).utcoffset() == offset:
            jumped = middle
        else:
            before = middle
    return jumped


_ELAPSED: dict[str, timedelta] = {FrequencyUnit.MINUTES: timedelta(minutes=1), FrequencyUnit.HOURS: timedelta(hours=1)}
_MONTHS: dict[str, int] = {FrequencyUnit.MONTHS: 1, FrequencyUnit.YEARS: 12}
_DAYS: dict[str, float] = {
    FrequencyUnit.MINUTES: 1 / 1440,
    FrequencyUnit.HOURS: 1 / 24,
    FrequencyUnit.DAYS: 1,
    FrequencyUnit.WEEKS: 7,
    FrequencyUnit.MONTHS: 30.4,
    FrequencyUnit.YEARS: 365.25,
}
