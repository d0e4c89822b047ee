"""The sender's telephone number, taken from the signature of a mail. Pure, and rather none than a wrong one."""

from __future__ import annotations

import re

_LAST_LINES = 12
_LONGEST_LINE_CHARS = 200
"""A signature's lines are short; longer ones are prose, or an attack on the patterns below."""
_LABEL = r"(?:tel(?:efon|ephone|éfono)?|phone|mobile?|mob|cell|handy|fon|ph|t|m|p)\b\.?"
_LABELLED = re.compile(
    rf"(?:^|[|·,;])\s*{_LABEL}\s*[:.]?\s*(?P<number>\+?[(\d][\d\s()./-]{{5,24}}\d)(?!\d)", re.IGNORECASE
)
_ALONE = re.compile(r"^\s*(?P<number>\+[\d][\d\s()./-]{6,24}\d)\s*$")
_DIGITS = range(7, 16)
"""What a number has (E.164 allows 15); fewer is an extension or a postcode."""


def phone_in_signature(text: str) -> str:
    """Return the one number of a mail's last lines that is said to be one; empty for none, or for two that differ.

    Counted are numbers after a label such as `Tel.`, and international ones that have a line for themselves. Quoted
    lines are somebody else's.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    own = [line for line in lines if not line.lstrip().startswith(">")][-_LAST_LINES:]
    found = [number for line in own if (number := _number(line))]
    return found[0] if len({_digits(number) for number in found}) == 1 else ""


def _number(line: str) -> str:
    if len(line) > _LONGEST_LINE_CHARS:
        return ""
    match = _LABELLED.search(line) or _ALONE.match(line)
    number = " ".join(match["number"].split()) if match else ""
    return number if len(_digits(number)) in _DIGITS else ""


def _digits(number: str) -> str:
    return re.sub(r"\D", "", number)
