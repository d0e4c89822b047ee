"""Dates, amounts and numbers by locale, and the values that they refuse."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import TemplateError
from core.render.environment import Renderer
from core.render.run import Audience

RENDERER = Renderer()


def show(expression: str, value: object = None, **audience: Any) -> str:
    return RENDERER.render_line("{{ " + expression + " }}", {"value": value}, audience=Audience(**audience)).text


@pytest.mark.parametrize(
    ("locale", "amount", "currency", "expected"),
    [
        ("de", "1234567.5", "EUR", "1.234.567,50\xa0€"),
        ("de-DE", "1234567.5", "EUR", "1.234.567,50\xa0€"),
        ("de_XX", "1234567.5", "EUR", "1.234.567,50\xa0€"),
        ("en_IN", "1234567.5", "INR", "₹12,34,567.50"),
        ("ja", "1234567", "JPY", "￥1,234,567"),
        ("xx_YY", "0.1", "USD", "US$0.10"),
        ("", "0.1", "usd", "US$0.10"),
    ],
)
def test_money(locale: str, amount: str, currency: str, expected: str) -> None:
    shown = show("value|money('" + currency + "')", Decimal(amount), locale=locale)
    assert shown.replace("US$", "$") == expected.replace("US$", "$")


def test_money_in_arabic_keeps_digits_and_currency() -> None:
    shown = show("value|money('EUR')", Decimal("1234.5"), locale="ar")
    assert "€" in shown
    assert "1,234.50" in shown or "١٬٢٣٤٫٥٠" in shown


def test_money_takes_the_audiences_currency_and_does_without() -> None:
    assert show("value|money", 5, currency="EUR") == "€5.00"
    assert show("value|money", 5) == "5.00"


@given(st.decimals(min_value=-(10**12), max_value=10**12, places=2))
def test_an_amount_loses_nothing(amount: Decimal) -> None:
    shown = show("value|money('EUR')", amount).replace("€", "").replace(",", "")
    assert Decimal(shown) == amount


def test_a_float_is_the_number_that_was_written() -> None:
    assert show("value|number", 0.1) == "0.1"
    assert show("value|money('EUR')", 1.005) == "€1.00"
    assert show("value|number(3)", 1.005, locale="de") == "1,005"


@pytest.mark.parametrize(
    ("expression", "locale", "expected"),
    [
        ("value|number", "de", "1.234,5"),
        ("value|number", "en_IN", "1,234.5"),
        ("(value * 1000)|number(2)", "en_IN", "12,34,500.00"),
        ("value|number(0)", "en", "1,234"),
    ],
)
def test_number(expression: str, locale: str, expected: str) -> None:
    assert show(expression, Decimal("1234.5"), locale=locale) == expected


@pytest.mark.parametrize(
    ("expression", "value", "locale", "zone", "expected"),
    [
        ("value|date", date(2026, 3, 29), "de", "UTC", "29.03.2026"),
        ("value|date", date(2026, 3, 29), "en", "UTC", "Mar 29, 2026"),
        ("value|date('short')", date(2026, 3, 29), "en_IN", "UTC", "29/03/26"),
        ("value|date", date(2026, 3, 29), "ja", "UTC", "2026/03/29"),
        ("value|date('yyyy-MM-dd')", "2026-03-29", "en", "UTC", "2026-03-29"),
        ("value|date('short')", datetime(2026, 3, 29, 23, 30, tzinfo=UTC), "de", "Europe/Berlin", "30.03.26"),
        ("value|datetime('short')", datetime(2026, 3, 29, 0, 30, tzinfo=UTC), "de", "Europe/Berlin", "29.03.26, 01:30"),
        ("value|datetime('short')", datetime(2026, 3, 29, 1, 30, tzinfo=UTC), "de", "Europe/Berlin", "29.03.26, 03:30"),
        ("value|datetime('HH:mm')", "2026-01-01T10:00:00+02:00", "en", "UTC", "08:00"),
        ("value|datetime('HH:mm')", "2026-01-01T10:00:00", "en", "Asia/Tokyo", "19:00"),
        ("value|datetime", date(2026, 3, 29), "de", "UTC", "29.03.2026"),
    ],
)
def test_date(expression: str, value: object, locale: str, zone: str, expected: str) -> None:
    assert show(expression, value, locale=locale, timezone=zone) == expected


@pytest.mark.parametrize("name", ["date", "datetime", "money", "number"])
@pytest.mark.parametrize("value", [None, ""])
def test_nothing_is_blank(name: str, value: object) -> None:
    assert show(f"value|{name}", value) == ""


@pytest.mark.parametrize(
    ("expression", "value", "words"),
    [
        ("value|date", "tomorrow", "not a date"),
        ("value|date", 5, "not a date"),
        ("value|date('%d.%m')", date(2026, 1, 1), "the style is one of"),
        ("value|date('HH:mm')", date(2026, 1, 1), "the style is one of"),
        ("value|date('d' ~ 'd' * 99)", date(2026, 1, 1), "needs numbers"),
        ("value|date('?')", date(2026, 1, 1), "the style is one of"),
        ("value|money('EURO')", 1, "three letters"),
        ("value|money('EUR')", "ten", "not a number"),
        ("value|money('EUR')", Decimal("1e999999"), "cannot be written"),
        ("value|money('EUR')", float("nan"), "cannot be written"),
        ("value|number(99)", 1, "0 to 28 decimals"),
        ("value|number", [1], "not a number"),
    ],
)
def test_a_bad_value_is_named(expression: str, value: object, words: str) -> None:
    with pytest.raises(TemplateError, match=words):
        show(expression, value)


def test_an_unknown_zone_names_the_nearest() -> None:
    with pytest.raises(TemplateError, match=r'no time zone "Europe/Berln"\. Did you mean "Europe/Berlin"'):
        show("value|datetime", datetime(2026, 1, 1, tzinfo=UTC), timezone="Europe/Berln")
