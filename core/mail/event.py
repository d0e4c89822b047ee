"""What an invitation that came in says, in short: its method, what it is called and when it starts.

It reads the first event of an iCalendar text (RFC 5545, RFC 5546) line by line, bounded and without a calendar
library: the file itself is kept as it came, and a calendar shows the rest. A zone is known by its IANA or its Windows
name; a start in any other zone is not told, rather than told wrong.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from core.mail.parameters import value_and_parameters
from core.mail.values import Event
from core.mail.words import clean_text
from core.pattern import pattern

_MOST_CHARS = 256 * 1024
_MOST_LINES = 5000
_FOLDED = pattern(r"\r?\n[ \t]")
_LINE = pattern(r"([A-Za-z-]{1,40})((?:;[^:\"]*(?:\"[^\"]*\"[^:\"]*)*)?):(.*)")
_ESCAPED = pattern(r"\\([\\;,nN])")
_METHOD = pattern(r"[A-Z]{3,20}")
_TIME = pattern(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d)(Z?))?")
_TEXT_CHARS = 500
_COMPONENTS = frozenset({"VEVENT", "VTODO"})


def read_event(text: str, method: str = "") -> Event | None:
    """Return what the first event of a calendar says, or None without one; `method` is what the part's header says."""
    found: dict[str, tuple[str, str]] = {}
    inside = outside = False
    for line in _FOLDED.sub("", text[:_MOST_CHARS]).splitlines()[:_MOST_LINES]:
        read = _LINE.fullmatch(line)
        if read is None:
            continue
        name, parameters, value = read[1].upper(), read[2], read[3].strip()
        if name == "BEGIN" and value.upper() in _COMPONENTS:
            inside = True
        elif name == "END" and value.upper() in _COMPONENTS:
            break
        elif name == "BEGIN" and value.upper() != "VCALENDAR":
            outside = True
        elif name == "END":
            outside = False
        elif name == "METHOD" or (inside and not outside):
            found.setdefault(name, (parameters, value))
    if not inside:
        return None
    parameters, start = found.get("DTSTART", ("", ""))
    starts_on, starts_at = _start(start, value_and_parameters(parameters)[1].get("tzid", ""))
    says = found.get("METHOD", ("", method))[1].upper() or method.upper()
    return Event(
        method=says if _METHOD.fullmatch(says) else "",
        uid=_text(found, "UID"),
        summary=_text(found, "SUMMARY"),
        location=_text(found, "LOCATION"),
        starts_at=starts_at,
        starts_on=starts_on,
    )


def _text(found: dict[str, tuple[str, str]], name: str) -> str:
    value = found.get(name, ("", ""))[1][:_TEXT_CHARS]
    shown = _ESCAPED.sub(lambda escaped: " " if escaped[1] in "nN" else escaped[1], value)
    return " ".join(clean_text(shown).split())


def _start(value: str, zone_name: str) -> tuple[date | None, datetime | None]:
    """Return the day of what takes a whole day, or else the moment, where its zone is known."""
    time = _TIME.fullmatch(value)
    try:
        if time is None:
            return None, None
        if time[4] is None:
            return date(int(time[1]), int(time[2]), int(time[3])), None
        zone = UTC if time[7] else _zone(zone_name) if zone_name else None
        if zone is None:
            return None, None
        year, month, day, hour, minute, second = map(int, time.groups()[:6])
        return None, datetime(year, month, day, hour, minute, second, tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None, None


@lru_cache(maxsize=64)
def _zone(name: str) -> tzinfo | None:
    name = name.strip()[:80]
    # Some programs put their own name before that of the zone.
    for one in (name, "/".join(name.split("/")[-2:])):
        try:
            return ZoneInfo(one)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            continue
    # Imported here: its tables are large, and few invitations name a zone as Windows does.
    from babel.core import get_global

    known = get_global("windows_zone_mapping").get(name)
    return ZoneInfo(known) if known else None
