"""How names, passwords, days and sets of UIDs are written in IMAP, and read (RFC 3501 sections 4.3, 5.1.3 and 9).

A text that could be read as the end of a command is refused here, and nowhere needs to be thought of again.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from datetime import date

from core.errors import ConfigError
from core.pattern import pattern

CONTROL = pattern(r"[\x00-\x1f\x7f]")
_NOT_PLAIN = pattern(r"[^\x20-\x7e]+")
_SHIFTED = pattern(r"&([A-Za-z0-9+,]*)-")
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def folder_argument(folder: str) -> str:
    """Return a folder's name in modified UTF-7 and quoted; raises ConfigError for an empty or dangerous one."""
    if not folder or CONTROL.search(folder):
        raise ConfigError(f"Mail folder {folder!r} is empty or contains a control character.")
    return quoted(modified_utf7(folder))


def modified_utf7(text: str) -> str:
    """Encode for a folder name: plain ASCII stands for itself, `&` is `&-`, the rest base64 of UTF-16 in `&...-`."""
    return _NOT_PLAIN.sub(_shifted, text.replace("&", "&-"))


def _shifted(run: re.Match[str]) -> str:
    utf16 = run[0].encode("utf-16-be", "surrogatepass")
    return f"&{b64encode(utf16, altchars=b'+,').decode('ascii').rstrip('=')}-"


def from_modified_utf7(text: str) -> str:
    """Decode a folder's name; what is no such encoding stays as it is."""
    return _SHIFTED.sub(_unshifted, text)


def _unshifted(run: re.Match[str]) -> str:
    if not run[1]:
        return "&"
    try:
        return b64decode(run[1] + "=" * (-len(run[1]) % 4), altchars=b"+,").decode("utf-16-be")
    except ValueError:
        return run[0]


def day(on: date) -> str:
    """Return a day as SEARCH takes it: `1-Feb-2026`, in no language but its own."""
    return f"{on.day}-{_MONTHS[on.month - 1]}-{on.year}"


def quoted(text: str) -> str:
    """Return a quoted string; raises ConfigError for what cannot be in one."""
    if CONTROL.search(text) or not text.isascii():
        raise ConfigError("A text with control or non-ASCII characters cannot be quoted for an IMAP server.")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def uid_set(uids: Iterable[int]) -> str:
    """Return UIDs, at least one, as a sequence set in rising order, neighbours joined: `1:3,7`."""
    ranges: list[list[int]] = []
    for uid in sorted(set(uids)):
        if ranges and uid == ranges[-1][1] + 1:
            ranges[-1][1] = uid
        else:
            ranges.append([uid, uid])
    return ",".join(f"{first}:{last}" if last > first else str(first) for first, last in ranges)


def uids_of(ranges: str, after: int = 0) -> Iterator[int]:
    """Yield the UIDs greater than `after` of what `uid_set` wrote."""
    for part in filter(None, ranges.split(",")):
        first, _, last = part.partition(":")
        yield from range(max(int(first), after + 1), int(last or first) + 1)
