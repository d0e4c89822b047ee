"""Marks on the values in a rendered address line, so that a value cannot be taken for the template's own punctuation.

What would have a meaning in an address list is replaced in each printed value by characters of Unicode's private use,
and the value is put between two more of them. Whoever reads the line splits it first, and takes the marks off after
(RFC 5322, 3.4). A value that brings such characters itself gains nothing: in an address they are refused.
"""

from __future__ import annotations

import re

from core.pattern import pattern
from core.render.plain import printed

_MEANINGFUL = '"\\<>,;:()[]'
_FIRST = 0xF8C0
_START, _END = (chr(_FIRST + len(_MEANINGFUL) + place) for place in range(2))
_ON = {ord(char): chr(_FIRST + place) for place, char in enumerate(_MEANINGFUL)}
_OFF = {ord(mark): chr(char) for char, mark in _ON.items()} | {ord(_START): None, ord(_END): None}
_MARK = pattern(f"[{chr(_FIRST)}-{_END}]")
_BOUNDS = str.maketrans("", "", _START + _END)
_ONE_VALUE = pattern(rf"\s*{_START}[^{_START}{_END}]*{_END}\s*")


def marked(value: object) -> str:
    """Return a value as it is put out into an address line."""
    text = str(printed(value))
    return f"{_START}{text.translate(_ON)}{_END}" if text else ""


def is_marked(text: str) -> bool:
    """Tell whether there is a mark in a text."""
    return _MARK.search(text) is not None


def is_one_value(item: str) -> bool:
    """Tell whether an item of a line is a single value, and nothing of the template's."""
    return _ONE_VALUE.fullmatch(item) is not None


def without_bounds(item: str) -> str:
    """Return an item in which values still are marked, but no longer where they begin and end."""
    return item.translate(_BOUNDS)


def unmarked(text: str) -> str:
    """Return a text with its values as they were."""
    return text.translate(_OFF)


def items_of(line: str) -> list[str]:
    """Split a line at the commas that are the template's own and stand in no quotes of its own."""
    items, item, quoted = [], "", False
    for part in re.split(r'(\\.|[",])', line):
        if part == "," and not quoted:
            items.append(item)
            item = ""
            continue
        quoted ^= part == '"'
        item += part
    return [*items, item]
