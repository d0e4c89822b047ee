"""How long the reader has to pay, in words of the reader's language."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from babel import Locale, UnknownLocaleError

# The days are put in by CLDR, with each language's own plural.
_SENTENCES = {
    "ar": "مهلة الدفع: {days}",
    "de": "Zahlungsziel: {days}",
    "en": "Payment term: {days}",
    "es": "Plazo de pago: {days}",
    "fr": "Délai de paiement : {days}",
    "it": "Termine di pagamento: {days}",
    "nl": "Betalingstermijn: {days}",
    "pl": "Termin płatności: {days}",
}
_ALWAYS_DAYS = 1e9
_AT_ONCE = {
    "ar": "مستحق الدفع فورًا",
    "de": "Sofort zahlbar",
    "en": "Payable at once",
    "es": "Pago inmediato",
    "fr": "Payable immédiatement",
    "it": "Pagamento immediato",
    "nl": "Direct te betalen",
    "pl": "Płatne natychmiast",
}


def payment_term(document: Any, locale: str) -> str:
    """Return a sentence such as `Payment term: 14 days`; empty for what nobody pays."""
    if document.type != "invoice":
        return ""
    days = (document.due_date - document.issue_date).days
    return in_words(days, locale)


def in_words(days: int, locale: str) -> str:
    """Return the term in a locale's language; English where we do not have it."""
    try:
        known = Locale.parse(locale.replace("-", "_"))
    except (UnknownLocaleError, ValueError):
        known = Locale("en")
    if known.language not in _SENTENCES:
        known = Locale("en")
    if days <= 0:
        return _AT_ONCE[known.language]
    from babel.dates import format_timedelta  # It costs start-up time.

    # Not `format_unit`: in Babel 2.18 that knows no Arabic day.
    in_days = format_timedelta(timedelta(days=days), granularity="day", threshold=_ALWAYS_DAYS, locale=known)
    return _SENTENCES[known.language].format(days=in_days)
