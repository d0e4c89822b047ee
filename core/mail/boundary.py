"""Where the parts of a multipart begin and end (RFC 2046 section 5.1.1), by its boundary or by a guess at it.

A delimiter is a line of its own: another boundary that begins like this one is none. Linear, and bounded in parts.
"""

from __future__ import annotations

from core.pattern import pattern

_FIRST_DELIMITER = pattern(rb"(?mi)^--([^\s-][^\r\n]{0,199}|-[^\r\n]{1,200})\r?\n(?=content-[a-z-]{1,30}[ \t]*:)")
_GUESSED_WITHIN = 64 * 1024
_MOST_FALSE_DELIMITERS = 10_000


def part_spans(data: bytes, boundary: bytes, start: int, end: int, most: int) -> list[tuple[int, int]]:
    """Return where up to `most` parts and one more start and end, each without the line end before a delimiter."""
    delimiter = b"--" + boundary
    spans: list[tuple[int, int]] = []
    part_start: int | None = None
    at = start
    others = 0
    while (at := data.find(delimiter, at, end)) >= 0 and len(spans) <= most and others < _MOST_FALSE_DELIMITERS:
        line_end = data.find(b"\n", at, end)
        line_end = end if line_end < 0 else line_end
        after = data[at + len(delimiter) : min(line_end, at + len(delimiter) + 200)].strip()
        if (at == start or data[at - 1] == 10) and after in (b"", b"--"):
            if part_start is not None:
                spans.append((part_start, max(part_start, _before_line_end(data, at))))
            part_start = min(line_end + 1, end)
            if after:
                return spans
        else:
            others += 1
        at = line_end
    if part_start is not None and part_start < end:
        spans.append((part_start, end))
    return spans


def guessed_boundary(data: bytes, start: int, end: int) -> bytes | None:
    """Return the boundary that a multipart seems to have: of the first line that begins as one and heads a part."""
    found = _FIRST_DELIMITER.search(data, start, min(end, start + _GUESSED_WITHIN))
    return found[1].rstrip() if found else None


def _before_line_end(data: bytes, at: int) -> int:
    return at - 2 if data[at - 2 : at] == b"\r\n" else at - 1
