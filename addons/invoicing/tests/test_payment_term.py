from __future__ import annotations

import pytest

from ..payment_term import in_words


@pytest.mark.parametrize(
    ("days", "locale", "words"),
    [
        (14, "en_GB", "Payment term: 14 days"),
        (1, "en", "Payment term: 1 day"),
        (30, "de-AT", "Zahlungsziel: 30 Tage"),
        (0, "de", "Sofort zahlbar"),
        (-3, "fr", "Payable immédiatement"),
        (14, "tlh", "Payment term: 14 days"),
        (14, "", "Payment term: 14 days"),
        (2, "ar", "مهلة الدفع: يومان"),
        (14, "ar_EG", "مهلة الدفع: 14 يومًا"),
    ],
)
def test_the_term_is_told_in_the_readers_language(days: int, locale: str, words: str) -> None:
    assert in_words(days, locale) == words
