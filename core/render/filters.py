"""Dates, amounts and numbers as the reader of a text writes them (Babel, CLDR).

None gives an empty text; an unknown locale falls back to its language, then to English. No float arithmetic happens to
an amount, and none of these looks at the clock.
"""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, cast

from core.errors import UserError, did_you_mean
from core.render.run import Audience

if TYPE_CHECKING:
    from babel import Locale

# Babel is imported where it is used: it costs start-up time that most commands never need.

PATTERN_CHARS = 64
DIGITS = 28
DATE_LETTERS = "yYuUrQqMLlwWdDFgEecG"
TIME_LETTERS = "abBhHKkmsSAzZOvVXx"
STYLES = ("short", "medium", "long", "full")
_Style = Literal["short", "medium", "long", "full"]


def date(audience: Audience, value: dt.date | str | None, style: str = "medium") -> str:
    """Return a date in the reader's way; a moment is first moved to the reader's zone.

    `style` is short, medium, long, full, or a CLDR pattern such as `dd.MM.yyyy`. Text is read as ISO 8601.
    """
    from babel.dates import format_date

    moment = _moment(audience, value)
    if moment is None:
        return ""
    return format_date(moment, _style(style, DATE_LETTERS), locale=locale_of(audience.locale))


def datetime(audience: Audience, value: dt.date | str | None, style: str = "medium") -> str:
    """Return a moment in the reader's zone and way; without a zone it is UTC."""
    from babel.dates import format_date, format_datetime

    moment = _moment(audience, value)
    if moment is None:
        return ""
    if not isinstance(moment, dt.datetime):
        return format_date(moment, _style(style, DATE_LETTERS), locale=locale_of(audience.locale))
    return format_datetime(moment, _style(style, DATE_LETTERS + TIME_LETTERS), locale=locale_of(audience.locale))


def money(audience: Audience, amount: Decimal | int | float | str | None, currency: str | None = None) -> str:
    """Return an amount in its currency, or in the audience's, with that currency's digits."""
    from babel.numbers import format_currency

    value = _decimal(amount)
    if value is None:
        return ""
    code = currency or audience.currency
    if code is None:
        return number(audience, value, 2)
    if not (isinstance(code, str) and len(code) == 3 and code.isascii() and code.isalpha()):
        raise UserError('a currency is three letters, such as "EUR"')
    return format_currency(value, code.upper(), locale=locale_of(audience.locale))


def number(audience: Audience, value: Decimal | int | float | str | None, digits: int | None = None) -> str:
    """Return a number in the reader's way, with `digits` decimals or as many as it has."""
    from babel.numbers import format_decimal

    exact = _decimal(value)
    if exact is None:
        return ""
    locale = locale_of(audience.locale)
    if digits is None:
        return format_decimal(exact, locale=locale, decimal_quantization=False)
    if not 0 <= digits <= DIGITS:
        raise UserError(f"a number has 0 to {DIGITS} decimals")
    whole = locale.decimal_formats[None].pattern.partition(".")[0]
    return format_decimal(exact, format=f"{whole}.{'0' * digits}", locale=locale)


@lru_cache(maxsize=256)
def locale_of(name: str) -> Locale:
    """Return the nearest locale that CLDR knows: `de_XX` gives German, an unknown language English."""
    from babel import Locale
    from babel.core import UnknownLocaleError

    tag = name.replace("-", "_").partition(".")[0]
    for candidate in (tag, tag.partition("_")[0]):
        try:
            return Locale.parse(candidate)
        except (UnknownLocaleError, ValueError, TypeError):
            continue
    return Locale.parse("en")


@lru_cache(maxsize=256)
def _zone(name: str) -> dt.tzinfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        hint = did_you_mean(name, zoneinfo.available_timezones())
        raise UserError(f'there is no time zone "{name}".{hint}') from None


def _moment(audience: Audience, value: object) -> dt.date | None:
    """Return a date, or a moment in the audience's zone; None for nothing."""
    if value is None or value == "":
        return None
    read = _read(value) if isinstance(value, str) else value
    if isinstance(read, dt.datetime):
        aware = read if read.tzinfo else read.replace(tzinfo=dt.UTC)
        return aware.astimezone(_zone(audience.timezone))
    if isinstance(read, dt.date):
        return read
    raise UserError("this is not a date: give a date, or text such as 2026-03-29")


def _read(value: str) -> dt.date:
    try:
        return dt.date.fromisoformat(value) if len(value) == 10 else dt.datetime.fromisoformat(value)
    except ValueError:
        raise UserError("this text is not a date: write it as 2026-03-29 or 2026-03-29T10:00:00+02:00") from None


def _style(style: str, letters: str) -> _Style:
    if style not in STYLES:
        used = {letter for letter in re.sub("'[^']*'", "", style) if letter.isascii() and letter.isalpha()}
        if len(style) > PATTERN_CHARS or not used or not used <= set(letters):
            raise UserError(f"the style is one of {', '.join(STYLES)}, or a pattern such as dd.MM.yyyy")
    return cast("_Style", style)


def _decimal(value: object) -> Decimal | None:
    if value is None or value == "":
        return None
    try:
        # A float's shortest text is what its author meant: 0.1, not the 55 digits that are stored.
        exact = Decimal(repr(value) if isinstance(value, float) else value)  # type: ignore[arg-type]
    except (InvalidOperation, TypeError, ValueError):
        raise UserError("this is not a number") from None
    if not exact.is_finite() or abs(exact.adjusted()) > DIGITS or len(exact.as_tuple().digits) > DIGITS:
        raise UserError(f"this number cannot be written in {DIGITS} digits")
    return exact
