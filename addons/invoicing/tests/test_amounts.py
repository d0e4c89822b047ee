from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ..amounts import rounded, totals, trimmed

amounts = st.decimals(min_value=-10_000, max_value=10_000, places=2, allow_nan=False, allow_infinity=False)
rates = st.sampled_from([Decimal(0), Decimal(7), Decimal("5.5"), Decimal(19), Decimal(23)])


@pytest.mark.parametrize(
    ("amount", "currency", "result"),
    [("0.005", "EUR", "0.01"), ("2.675", "EUR", "2.68"), ("10.5", "JPY", "11"), ("1.23456", "KWD", "1.235")],
)
def test_amounts_are_rounded_half_up_in_the_currency(amount: str, currency: str, result: str) -> None:
    assert str(rounded(Decimal(amount), currency)) == result


def test_tax_is_rounded_once_for_each_rate() -> None:
    lines = [(Decimal("0.03"), Decimal(19))] * 3 + [(Decimal("10.00"), Decimal(7))]
    sums = totals(lines, "EUR")
    assert [(tax.rate, tax.base, tax.amount) for tax in sums.taxes] == [
        (Decimal(7), Decimal("10.00"), Decimal("0.70")),
        (Decimal(19), Decimal("0.09"), Decimal("0.02")),
    ]
    assert (sums.untaxed, sums.tax, sums.total) == (Decimal("10.09"), Decimal("0.72"), Decimal("10.81"))


def test_nothing_comes_to_nothing() -> None:
    sums = totals([], "EUR")
    assert not any((sums.untaxed, sums.tax, sums.total))


@given(st.lists(st.tuples(amounts, rates), max_size=20))
def test_totals_do_not_depend_on_the_order_of_lines(lines: list[tuple[Decimal, Decimal]]) -> None:
    sums = totals(lines, "EUR")
    assert sums == totals(lines[::-1], "EUR")
    assert sums.untaxed == sum(amount for amount, _ in lines)
    assert sums.total == sums.untaxed + sum((tax.amount for tax in sums.taxes), Decimal(0))


def test_numbers_lose_the_zeros_of_their_column() -> None:
    assert [f"{trimmed(Decimal(text)):f}" for text in ("2.000", "3.500", "10.000")] == ["2", "3.5", "10"]
