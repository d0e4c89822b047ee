"""A time zone as iCalendar tells it (VTIMEZONE, RFC 5545 section 3.6.5), as short as it can be said.

Zones that change by a yearly rule get that rule, since Outlook heeds no list of dates. Zones without one (Casablanca
follows the moon, Cairo the night after a Thursday) get the dates. It reads the zone data that Python finds, no more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

_YEARS_AHEAD = 10
"""For how long an event that repeats is looked at: long enough to tell "the last Sunday" from "the fourth"."""
_WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


@dataclass(frozen=True, slots=True)
class _Onset:
    """A moment from which another offset holds; `at` is local time by the offset until then, as the RFC wants it."""

    at: datetime
    before: timedelta
    after: timedelta
    name: str
    is_daylight: bool

    @property
    def kind(self) -> tuple[timedelta, timedelta, str, bool]:
        return self.before, self.after, self.name, self.is_daylight


def time_zone(zone: ZoneInfo, first_year: int, last_year: int, *, repeats: bool) -> Any:
    """Return the icalendar component for events within these years, or, where one `repeats`, from then on."""
    from icalendar import Timezone  # Imported here: a tenth of a second, for the few hosts that invite.

    years = range(first_year, last_year + (_YEARS_AHEAD if repeats else 0) + 1)
    component = Timezone()
    component.add("tzid", zone.key)
    first, *changes = _onsets(zone, years)
    component.add_component(_observance([first], None))
    for _, group in groupby(sorted(changes, key=lambda one: (one.kind, one.at)), key=lambda one: one.kind):
        onsets = list(group)
        component.add_component(_observance(onsets, _yearly_rule(onsets, years) if repeats else None))
    return component


def _onsets(zone: ZoneInfo, years: range) -> Iterator[_Onset]:
    """Yield the state before the first year begins anywhere, and each change until the last one ends."""
    at, end = datetime(years[0] - 1, 12, 30, tzinfo=UTC), datetime(years[-1] + 1, 1, 1, tzinfo=UTC)
    yield _onset(zone, at, at)
    while at < end:
        later = at + timedelta(days=1)
        if _state(zone, at) != _state(zone, later):
            yield _onset(zone, at, _change(zone, at, later))
        at = later


def _state(zone: ZoneInfo, at: datetime) -> tuple[timedelta | None, str | None]:
    local = at.astimezone(zone)
    return local.utcoffset(), local.tzname()


def _change(zone: ZoneInfo, at: datetime, later: datetime) -> datetime:
    """Return the first minute of the new state."""
    state = _state(zone, at)
    while later - at > timedelta(minutes=1):
        middle = at + (later - at) // 2
        middle -= timedelta(seconds=middle.second, microseconds=middle.microsecond)
        at, later = (middle, later) if _state(zone, middle) == state else (at, middle)
    return later


def _onset(zone: ZoneInfo, until: datetime, at: datetime) -> _Onset:
    local = at.astimezone(zone)
    before, after = (moment.astimezone(zone).utcoffset() or timedelta() for moment in (until, at))
    return _Onset(
        at=(at + before).replace(tzinfo=None),
        before=before,
        after=after,
        name=local.tzname() or zone.key,
        # Not by `dst()`: in Dublin it is the winter that the law calls different, and programs know nothing of that.
        is_daylight=after > before if until != at else (local.dst() or timedelta()) > timedelta(),
    )


def _yearly_rule(onsets: list[_Onset], years: range) -> dict[str, Any] | None:
    """Return the rule that gives exactly these moments, one a year, or None."""
    dates = [onset.at for onset in onsets]
    alike = {(date.month, date.weekday(), date.time()) for date in dates}
    if [date.year for date in dates] != list(years) or len(alike) > 1:
        return None
    counts = {(date.day + 6) // 7 for date in dates}
    if all((date + timedelta(days=7)).month != date.month for date in dates):
        counts = {-1}
    if len(counts) > 1:
        return None
    return {"freq": "yearly", "bymonth": dates[0].month, "byday": f"{counts.pop()}{_WEEKDAYS[dates[0].weekday()]}"}


def _observance(onsets: list[_Onset], rule: dict[str, Any] | None) -> Any:
    from icalendar import TimezoneDaylight, TimezoneStandard  # As above.

    first = onsets[0]
    component = TimezoneDaylight() if first.is_daylight else TimezoneStandard()
    component.add("dtstart", first.at)
    component.add("tzoffsetfrom", first.before)
    component.add("tzoffsetto", first.after)
    component.add("tzname", first.name)
    if rule:
        component.add("rrule", rule)
    elif len(onsets) > 1:
        component.add("rdate", [onset.at for onset in onsets[1:]])
    return component
