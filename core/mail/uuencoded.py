"""Files that a program wrote into the text of a mail: uuencode (POSIX) and yEnc (yEnc draft 1.3).

Only what is whole counts: lines of the right length between a proper beginning and a proper end. Anything else is a
person's words and stays where it is. Linear; the number of lines is bounded.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple, TypeAlias

from core.pattern import pattern


class WrittenFile(NamedTuple):
    """A file found in a text: its name as written, and its bytes."""

    name: bytes
    content: bytes


_BEGIN = pattern(rb"(?m)^begin [0-7]{3,4} ([^\r\n]{1,200})\r?\n")
_END = pattern(rb"(?m)^end[ \t]{0,9}\r?$")
_YENC_BEGIN = pattern(rb"(?m)^=ybegin [^\r\n]{0,200}?\bsize=(\d{1,9}) name=([^\r\n]{1,200})\r?\n")
_YENC_PART = pattern(rb"=ypart [^\r\n]{0,200}\r?\n")
_YENC_END = pattern(rb"(?m)^=yend [^\r\n]{0,200}\r?$")
_MOST_LINES = 150_000
_MOST_TRIES = 100
_MOST_ESCAPES = 300_000
_LESS_42 = bytes((byte - 42) % 256 for byte in range(256))
_LESS_106 = bytes((byte - 106) % 256 for byte in range(256))


def taken_out(content: bytes) -> tuple[bytes, list[WrittenFile]]:
    """Return the text without the files written into it, and the files."""
    found: list[WrittenFile] = []
    if b"begin " in content:
        content = _without(content, _BEGIN, _END, _read_uuencoded, found)
        content = _without(content, _YENC_BEGIN, _YENC_END, _read_yencoded, found)
    return content, found


def _without(
    content: bytes, begin: re.Pattern[bytes], end: re.Pattern[bytes], read: _Reader, found: list[WrittenFile]
) -> bytes:
    kept: list[bytes] = []
    at = 0
    stop = end.search(content)
    for start in islice(begin.finditer(content), _MOST_TRIES):
        if start.start() < at:
            continue
        if stop and stop.start() < start.end():
            stop = end.search(content, start.end())
        if stop is None:
            break
        file = read(start, stop.start())
        if file is not None:
            found.append(file)
            kept.append(content[at : start.start()])
            at = min(stop.end() + 1, len(content))
    return b"".join((*kept, content[at:])) if at else content


def _read_uuencoded(start: re.Match[bytes], stop: int) -> WrittenFile | None:
    content = start.string
    lines: list[bytes] = []
    at = start.end()
    while at < stop:
        line_end = content.find(b"\n", at, stop)
        line_end = stop if line_end < 0 else line_end
        line = content[at:line_end].rstrip(b"\r")
        at = line_end + 1
        if not line:
            continue
        coded = ((line[0] - 32) % 64 + 2) // 3 * 4 if 32 <= line[0] <= 96 else -1
        # Some programs add a checksum, and some servers take away the spaces at the end of a line.
        if len(line) - 1 > coded + 2 or coded < 0 or len(lines) == _MOST_LINES:
            return None
        try:
            lines.append(binascii.a2b_uu(line[: coded + 1]))
        except binascii.Error:
            return None
    return WrittenFile(start[1].strip(), b"".join(lines)) if lines else None


def _read_yencoded(start: re.Match[bytes], stop: int) -> WrittenFile | None:
    content = start.string
    if content.find(b"\n=ybegin ", start.end() - 1, stop) >= 0:
        return None
    part = _YENC_PART.match(content, start.end())
    data = content[part.end() if part else start.end() : stop].translate(None, b"\r\n")
    if data.count(b"=") > _MOST_ESCAPES:
        return None
    first, *others = data.split(b"=")
    pieces = [first.translate(_LESS_42)]
    pieces += (piece[:1].translate(_LESS_106) + piece[1:].translate(_LESS_42) for piece in others)
    whole = b"".join(pieces)
    return WrittenFile(start[2].strip(), whole) if part or len(whole) == int(start[1]) else None


_Reader: TypeAlias = Callable[[re.Match[bytes], int], WrittenFile | None]
