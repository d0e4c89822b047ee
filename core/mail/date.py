"""The date of a mail, as senders write it: RFC 5322 with its obsolete forms, and what programs make of it.

A date without a zone is UTC. A year that no mail was sent in is no date. RFC 5322 sections 3.3 and 4.3; it asks no
clock, and knows no zone but by its offset or an abbreviation that only one zone has.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime, timedelta

from core.pattern import pattern

_MAX_CHARS = 200
_FIRST_YEAR, _LAST_YEAR = 1982, 2099
"""From RFC 821 on; earlier years are those of clocks that stopped."""
_EVERYDAY = pattern(
    r"(?:[A-Z][a-z]{2}, )?(\d\d?) (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) (\d{4}) "
    r"(\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)(?: \([A-Za-z ]{1,40}\))?"
)
_COMMENT = pattern(r"\([^()]*\)?")
_COLON = pattern(r"(?<=\d)\s{0,5}:\s{0,5}(?=\d)")
_TIME = pattern(
    r"(?<![\d:.])(\d{1,2})[:.](\d{1,2})(?:[:.](\d{1,2})(?:[.,]\d{1,9})?)?(?![\d:.]|\.\d)\s*([ap]\.?m\b\.?)?",
    re.IGNORECASE,
)
_ISO_TIME = pattern(r"(?<=\d)t(?=\d)", re.IGNORECASE)
_ZONE = pattern(
    r"\s*,?\s*(?:([a-z]{1,5})?\s?([+-])(\d\d?):?(\d\d)?(?!\d)|([a-z]{1,5})(?![a-z]))(?:\s+[a-z]{2,5}(?![a-z]))?",
    re.IGNORECASE,
)
_NUMBERS = pattern(r"\d+")
_NAMES = pattern(r"[a-z]{3,}")
_NUMERIC = pattern(r"(?<!\d)(\d{1,4})([./-])(\d{1,2})\2(\d{1,4})(?!\d)")

_MONTHS = {
    "jan": 1, "ene": 1, "gen": 1, "sty": 1, "feb": 2, "fev": 2, "mar": 3, "mrz": 3, "maa": 3, "mrt": 3,
    "apr": 4, "avr": 4, "abr": 4, "may": 5, "mai": 5, "mei": 5, "mag": 5, "maj": 5, "jun": 6, "juin": 6, "giu": 6,
    "jul": 7, "juil": 7, "lug": 7, "aug": 8, "aou": 8, "ago": 8, "sep": 9, "set": 9, "oct": 10, "okt": 10, "ott": 10,
    "out": 10, "nov": 11, "dec": 12, "dez": 12, "dic": 12,
}  # fmt: skip
# RFC 822's, and others that stand for one zone only; IST, CST of China and the like would be guesses.
_HOURS = {
    "ut": 0, "utc": 0, "gmt": 0, "z": 0, "wet": 0, "est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6,
    "pst": -8, "pdt": -7, "akst": -9, "akdt": -8, "hst": -10, "west": 1, "bst": 1, "cet": 1, "met": 1, "mez": 1,
    "cest": 2, "mest": 2, "mesz": 2, "eet": 2, "sast": 2, "eest": 3, "msk": 3, "hkt": 8, "sgt": 8, "awst": 8, "jst": 9,
    "kst": 9, "aest": 10, "aedt": 11, "nzst": 12, "nzdt": 13,
}  # fmt: skip


def read_date(text: str) -> datetime | None:
    """Return the moment in UTC, or None where the text is no date or one that no mail can have."""
    everyday = _EVERYDAY.fullmatch(text)
    try:
        if everyday:
            day, month, year, hour, minute, second, sign, zone_hours, zone_minutes = everyday.groups()
            offset = _offset(sign, zone_hours, zone_minutes)
            return _moment((int(year), _MONTHS[month.lower()], int(day)), (int(hour), int(minute), int(second)), offset)
        return _tolerant(_plain(text[:_MAX_CHARS]))
    except (ValueError, OverflowError):
        return None


def _plain(text: str) -> str:
    """Return the text in lower case, without accents, comments and what else stands between the figures of a time."""
    bare = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char)).lower()
    return _ISO_TIME.sub(" ", _COLON.sub(":", _COMMENT.sub(" ", bare)))


def _tolerant(text: str) -> datetime | None:
    clock_time, offset = (0, 0, 0), timedelta(0)
    numeric = None if any(map(_month, _NAMES.findall(text))) else _NUMERIC.search(text)
    if numeric:
        text = text[: numeric.start()] + " " * len(numeric[0]) + text[numeric.end() :]
    time = _TIME.search(text)
    if time is not None:
        zone = _ZONE.match(text, time.end())
        zone_end = time.end()
        if zone and (zone[2] or zone[5] in _HOURS or len(zone[5]) == 1):
            offset = _offset(zone[2], zone[3], zone[4] or "0") if zone[2] else timedelta(hours=_HOURS.get(zone[5], 0))
            zone_end = zone.end()
        clock_time = _clock_time(time)
        text = f"{text[: time.start()]} {text[zone_end:]}"
    date = _numeric_date(numeric) if numeric else _named_date(text)
    # A number alone, or a name, is no date; a day without its time is.
    return None if date is None else _moment(date, clock_time, offset)


def _clock_time(time: re.Match[str]) -> tuple[int, int, int]:
    hour, minute, second = int(time[1]), int(time[2]), int(time[3] or 0)
    if time[4]:
        hour = hour % 12 + (12 if time[4].lower().startswith("p") else 0)
    return hour, minute, second


def _numeric_date(found: re.Match[str]) -> tuple[int, int, int] | None:
    """Read 2026-03-29, 29.03.2026 and 03/29/2026; where only the other order makes sense, that one."""
    first, second, third = int(found[1]), int(found[3]), int(found[4])
    if len(found[1]) == 4:
        year, month, day = first, second, third
    elif found[2] == "/":
        month, day, year = first, second, third
    else:
        day, month, year = first, second, third
    if month > 12 >= day:
        day, month = month, day
    return _whole_year(str(year)), month, day


def _named_date(text: str) -> tuple[int, int, int] | None:
    """Read a day, a month's name and a year in any order; the last name counts, as a weekday may come before."""
    month = next(filter(None, map(_month, reversed(_NAMES.findall(text)))), None)
    numbers = _NUMBERS.findall(text)
    if month is None or len(numbers) < 2:
        return None
    first, second = numbers[:2]
    day, year = (second, first) if len(first) > 2 or int(first) > 31 else (first, second)
    return _whole_year(year), month, int(day)


def _month(name: str) -> int | None:
    return _MONTHS.get(name[:4]) or _MONTHS.get(name[:3])


def _whole_year(year: str) -> int:
    number = int(year[:6])
    if number < 50 and len(year) < 3:
        return 2000 + number
    return 1900 + number if number < 1000 and len(year) < 4 else number


def _offset(sign: str, hours: str, minutes: str) -> timedelta:
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    if int(minutes) > 59 or int(hours) > 23:
        raise ValueError("no zone is that far")
    return -offset if sign == "-" else offset


def _moment(date: tuple[int, int, int], clock_time: tuple[int, int, int], offset: timedelta) -> datetime | None:
    year, month, day = date
    hour, minute, second = clock_time
    if not _FIRST_YEAR <= year <= _LAST_YEAR or hour > 24 or minute > 59 or second > 60:
        return None
    midnight = datetime(year, month, day, tzinfo=UTC)
    return midnight + timedelta(hours=hour, minutes=minute, seconds=min(second, 59)) - offset
