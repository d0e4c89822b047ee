"""Which part of a file a request asks for (RFC 9110, sections 13 and 14): one range of bytes, or all of it. Pure.

Several ranges in one request are answered with the whole, as section 14.2 allows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from core.pattern import pattern

_RANGE = pattern(r"bytes[ \t]*=[ \t]*([0-9]{0,18})[ \t]*-[ \t]*([0-9]{0,18})[ \t]*", re.IGNORECASE)
_TAG = pattern(r'(?:W/)?"[^"]*"')


@dataclass(frozen=True, slots=True)
class Part:
    """The bytes from `start` up to `end` of a file of `size`. An answer's `status` is 200, 206, 304 or 416."""

    status: int
    start: int
    end: int
    size: int

    @property
    def headers(self) -> dict[str, str]:
        """What says which part it is."""
        if self.status == 416:
            return {"Content-Range": f"bytes */{self.size}"}
        if self.status == 304:
            return {}
        length = {"Content-Length": str(self.end - self.start)}
        place = {"Content-Range": f"bytes {self.start}-{self.end - 1}/{self.size}"} if self.status == 206 else {}
        return length | place


def wanted_part(headers: Mapping[str, str], method: str, etag: str, size: int) -> Part:
    """Return what to answer to a GET or HEAD with these headers, of a file with a strong `etag`."""
    if _names(headers.get("if-none-match", ""), etag):
        return Part(304, 0, 0, size)
    whole = Part(200, 0, size, size)
    condition = headers.get("if-range", etag).strip()
    found = _RANGE.fullmatch(headers.get("range", "").strip())
    if found is None or method != "GET" or condition != etag or found[1] == found[2] == "":
        return whole
    return _part(found[1], found[2], whole)


def _part(first: str, last: str, whole: Part) -> Part:
    size = whole.size
    if first == "":  # The last so many bytes.
        length = min(int(last), size)
        return Part(206, size - length, size, size) if length else Part(416, 0, 0, size)
    start = int(first)
    if last != "" and int(last) < start:
        return whole
    if start >= size:
        return Part(416, 0, 0, size)
    end = size if last == "" else min(int(last) + 1, size)
    return Part(206, start, end, size)


def _names(header: str, etag: str) -> bool:
    """Whether an If-None-Match names the tag, which is compared weakly."""
    return header.strip() == "*" or any(tag.removeprefix("W/") == etag for tag in _TAG.findall(header))
