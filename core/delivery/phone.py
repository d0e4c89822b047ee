"""Telephone numbers in their one international form (E.164), and how long a text is on a telephone.

Rules: ITU-T E.164 by way of the `phonenumbers` tables; 3GPP TS 23.038 section 6.2.1 (the 7-bit alphabet) and
TS 23.040 section 9.2.3.24.1 (parts of a long message).
"""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import AddressError
from core.pattern import pattern

_WRITTEN = pattern(r"\+?[0-9 ()./\u00a0\u2010-\u2013-]{3,40}")
_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*,-./+0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_ESCAPED = frozenset("\f^{}\\[~]|€")
"""Characters that take two places of the 7-bit alphabet."""


def phone_number(text: str, region: str = "") -> str:
    """Return a number as `+4915112345678`; AddressError for what is none.

    `region` (`DE`) is the country whose national numbers are understood too; without one, a number starts with + or 00.
    """
    import phonenumbers  # Its tables are heavy, and most commands never need them.

    written = text.strip()
    if not _WRITTEN.fullmatch(written):
        raise AddressError(f"{text[:60]!r} is no telephone number; write it as +49 151 12345678.")
    international = "+" + written[2:] if written.startswith("00") else written
    try:
        number = phonenumbers.parse(international, region.upper() or None)
    except phonenumbers.NumberParseException as error:
        hint = "" if region else " Start it with + and the country, or set PHONE_REGION."
        why = str(error).partition(") ")[2].rstrip(".")
        raise AddressError(f"{text[:60]!r} is no telephone number: {why}.{hint}") from error
    if not phonenumbers.is_possible_number(number):
        raise AddressError(f"{text[:60]!r} is no telephone number: it has too few digits, or too many.")
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


@dataclass(frozen=True, slots=True)
class SmsLength:
    """What a text costs: places used, and how many parts it is sent in."""

    encoding: str
    """`GSM-7` or `UCS-2`."""
    places: int
    segments: int

    def __str__(self) -> str:
        parts = "1 segment" if self.segments == 1 else f"{self.segments} segments"
        return f"{self.places} characters, {parts} ({self.encoding})"


def sms_length(text: str) -> SmsLength:
    """Return how long a text is as SMS; no character is split between two parts."""
    if all(char in _BASIC or char in _ESCAPED for char in text):
        widths = [2 if char in _ESCAPED else 1 for char in text]
        return SmsLength("GSM-7", sum(widths), _parts(widths, 160, 153))
    widths = [2 if ord(char) > 0xFFFF else 1 for char in text]
    return SmsLength("UCS-2", sum(widths), _parts(widths, 70, 67))


def _parts(widths: list[int], alone: int, each: int) -> int:
    if sum(widths) <= alone:
        return 1
    parts, room = 1, each
    for width in widths:
        if width > room:
            parts, room = parts + 1, each
        room -= width
    return parts
