"""A time zone in iCalendar, read by another library: the offset is that of Python at every hour of the years told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import StringIO
from zoneinfo import ZoneInfo

import pytest
from dateutil.tz import tzical

from core.mail.time_zone import time_zone

ZONES = [
    *("Europe/Zurich", "Europe/Dublin", "America/New_York", "America/Sao_Paulo", "Australia/Sydney", "Asia/Kathmandu"),
    *("Australia/Lord_Howe", "Africa/Casablanca", "America/St_Johns", "Pacific/Apia", "Asia/Tehran", "Africa/Cairo"),
]


def read(text: str) -> object:
    return tzical(StringIO(f"BEGIN:VCALENDAR\r\n{text}END:VCALENDAR\r\n")).get()


@pytest.mark.parametrize("name", ZONES)
@pytest.mark.parametrize("repeats", [True, False])
def test_another_reader_finds_the_same_offsets(name: str, repeats: bool) -> None:
    zone = ZoneInfo(name)
    other = read(time_zone(zone, 2026, 2026, repeats=repeats).to_ical().decode())
    local = datetime(2026, 1, 1)  # noqa: DTZ001
    end = datetime(2028 if repeats else 2027, 1, 1)  # noqa: DTZ001
    while local < end:
        ours = local.replace(tzinfo=zone)
        # An hour that is skipped, or comes twice, means what its reader likes.
        if ours.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == local and ours.utcoffset() == (
            ours.replace(fold=1).utcoffset()
        ):
            assert local.replace(tzinfo=other).utcoffset() == ours.utcoffset(), local
        local += timedelta(hours=1)


@pytest.mark.parametrize("name", [name for name in ZONES if not name.startswith("Africa")])
def test_a_zone_with_a_rule_is_told_without_dates(name: str) -> None:
    assert "RDATE" not in time_zone(ZoneInfo(name), 2026, 2026, repeats=True).to_ical().decode()


def test_one_year_needs_neither_rule_nor_dates() -> None:
    text = time_zone(ZoneInfo("Europe/Zurich"), 2026, 2026, repeats=False).to_ical().decode()
    assert "RRULE" not in text
    assert "RDATE" not in text
    assert text.count("BEGIN:DAYLIGHT") == 1
