"""Sums of money: Decimal throughout, rounded as the currency is, half up as on paper. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Tax:
    """The tax of all lines with one rate (in percent); `base` is what it is taken of."""

    rate: Decimal
    base: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Totals:
    """What a document comes to; `taxes` in the order of their rates."""

    untaxed: Decimal
    taxes: tuple[Tax, ...]

    @property
    def tax(self) -> Decimal:
        return sum((tax.amount for tax in self.taxes), ZERO)

    @property
    def total(self) -> Decimal:
        return self.untaxed + self.tax


def totals(lines: Iterable[tuple[Decimal, Decimal]], currency: str) -> Totals:
    """Return the totals of lines of (subtotal, tax rate in percent); tax is rounded once per rate, not per line."""
    bases: dict[Decimal, Decimal] = defaultdict(Decimal)
    for subtotal, rate in lines:
        bases[rate] += subtotal
    taxes = tuple(Tax(rate, base, rounded(base * rate / 100, currency)) for rate, base in sorted(bases.items()))
    return Totals(rounded(sum(bases.values(), ZERO), currency), taxes)


def rounded(amount: Decimal, currency: str) -> Decimal:
    """Return an amount in the currency's smallest unit: a hundredth for EUR, a whole one for JPY."""
    from babel.numbers import get_currency_precision  # Babel costs start-up time.

    return amount.quantize(Decimal(1).scaleb(-get_currency_precision(currency)), ROUND_HALF_UP)


def trimmed(value: Decimal) -> Decimal:
    """Return a number without the zeros that only its column brings: 2.000 is 2."""
    return value.normalize()
