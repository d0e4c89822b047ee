"""The header of a mail or of a part: its fields in order, and where its body begins.

Limits hold before anything is taken apart. A line that is no field is passed over where fields follow it, and begins
the body where none do, as some programs leave the blank line out. Fields with bytes beyond ASCII and no charset are
read by a guess. RFC 5322 sections 2.2 and 4.5, RFC 6532.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from core.mail.words import clean_decoded
from core.pattern import pattern

BREAKS = pattern("[\0-\x08\x0a-\x1f\x7f\x85\u2028\u2029]+")
"""Whatever some program takes for the end of a line, and the other controls."""
SINGLE = frozenset({
    *("from", "sender", "reply-to", "to", "cc", "subject", "date", "message-id", "in-reply-to", "references"),
    *("content-type", "content-transfer-encoding"),
})  # fmt: skip
"""What may come once."""

_FIELD = pattern(r"(?m)^([!-9;-~]{1,200})[ \t]*:((?:.*)(?:\n[ \t].*)*)")
_NO_FIELD = pattern(r"(?m)^(?![ \t]|[!-9;-~]{1,200}[ \t]*:)(?=.)")
_WELL_KNOWN = pattern(
    r"(?mi)^(?:from|to|cc|subject|date|message-id|mime-version|received|return-path|reply-to|sender|delivered-to"
    r"|content-[a-z-]{2,40}|references|in-reply-to|dkim-signature|list-[a-z-]{2,40}|x-[a-z0-9-]{2,80})[ \t]*:"
)
# Some programs put a blank line between the boundary and the header of a part.
_HEADER_OF_PART = pattern(rb"(?:content-[a-z-]{1,30}[ \t]*:[^\n]*\n(?:[ \t]+[^\s][^\n]*\n)*)+\r?\n", re.IGNORECASE)
_MBOX_LINE = pattern(r">?From \S.*\n?")
_CHARSET = pattern(r"\bcharset\s*=\s*\"?([^\s;\"]{1,60})", re.IGNORECASE)
_MOST_BYTES = 1024 * 1024
_LATE_CHARS = 8 * 1024


class Fields(NamedTuple):
    """Every field in order, encoded-words not yet decoded, and the first value of each lower-case name."""

    all: list[tuple[str, str]]
    first: dict[str, str]


class HeaderLimits(NamedTuple):
    """How much of a header is read; of what comes later only the first of each field that may come once."""

    bytes: int
    lines: int


def read_head(data: bytes, start: int, end: int, limits: HeaderLimits, defects: list[str]) -> tuple[Fields, int]:
    """Return the fields of the entity in `data[start:end]` and where its body begins; without fields all is body."""
    if data.startswith((b"\n", b"\r\n"), start):
        first_line = min(data.index(b"\n", start) + 1, end)
        if not _HEADER_OF_PART.match(data, first_line, end):
            return Fields([], {}), first_line
        start = first_line
    head_end, body = _blank_line(data, start, end)
    text = data[start : min(head_end, start + _MOST_BYTES)].decode("latin_1")
    odd = _NO_FIELD.search(text)
    if odd is not None and (kept := _length_of_header(text, odd.start(), defects)) < len(text):
        text, body = text[:kept], start + kept
    fields = _fields(text.replace("\r\n", "\n").replace("\r", " "), limits, defects)
    return fields, body if fields.all else start


def start_of_mail(data: bytes) -> int:
    """Return where a mail begins: after a byte order mark, and after white space where a field follows it."""
    start = 3 if data.startswith(b"\xef\xbb\xbf") else 0
    blank = _BLANKS.match(data, start)
    first = blank.end() if blank else start
    return first if _WELL_KNOWN.match(data[first : first + 200].decode("latin_1")) else start


_BLANKS = pattern(rb"[ \t\r\n]*")


def _blank_line(data: bytes, start: int, end: int) -> tuple[int, int]:
    """Return where the header ends and where the body begins."""
    found = _BLANK_LINE.search(data, start, end)
    return (found.start() + 1, found.end()) if found else (end, end)


_BLANK_LINE = pattern(rb"\n\r{0,2}\n")


def _length_of_header(text: str, odd: int, defects: list[str]) -> int:
    """Return how much of the text is the header; `odd` is where its first line that is no field begins."""
    mbox_line = _MBOX_LINE.match(text)
    if mbox_line and odd == 0:
        after = _NO_FIELD.search(text, mbox_line.end())
        return len(text) if after is None else _length_of_header(text, after.start(), defects)
    last = max((found.start() for found in _WELL_KNOWN.finditer(text, odd)), default=-1)
    if last >= 0 and not text.startswith("--", odd):
        after = _NO_FIELD.search(text, last)
        defects.append("Lines of the header are no header fields; they are passed over.")
        return len(text) if after is None else _length_of_header(text, after.start(), defects)
    rest = text[odd:]
    if rest.startswith("--") or 2 * len(_FIELD.findall(rest)) < rest.count("\n") + 1:
        if odd:
            defects.append("No blank line ends the header; the body begins at the first line that is no field.")
        return odd
    defects.append("Lines of the header are no header fields; they are passed over.")
    return len(text)


def _fields(text: str, limits: HeaderLimits, defects: list[str]) -> Fields:
    hint = None if text.isascii() else _CHARSET.search(text)
    every: list[tuple[str, str]] = []
    first: dict[str, str] = {}
    read = lines = 0
    is_cut = False
    for match in _FIELD.finditer(text):
        name, value = match.groups()
        read += len(name) + len(value) + 2
        lines += 1 + value.count("\n")
        lowered = name.lower()
        if read > limits.bytes or lines > limits.lines:
            is_cut = True
            if lowered not in SINGLE or lowered in first:
                continue
            value = value[:_LATE_CHARS]
        if not value.isascii():
            value = _guessed(value, hint[1] if hint else None, defects)
        value = _unfolded(value)
        every.append((name, value))
        first.setdefault(lowered, value)
    if is_cut:
        defects.append("The header is longer than allowed; of its rest only what may come once is read.")
    return Fields(every, first)


def _guessed(value: str, hint: str | None, defects: list[str]) -> str:
    text, _ = decoded = clean_decoded(value.encode("latin_1"), None, hint)
    if not decoded.doubt.endswith("utf_8."):
        defects.append("A header holds bytes beyond ASCII and no charset; they are read by a guess.")
    return text


def _unfolded(value: str) -> str:
    # Most values are one line.
    return value.strip() if value.isprintable() else BREAKS.sub("", value.replace("\n\t", "\n ")).strip()
