"""What a FETCH brings: its values, how many to ask for at once, and the reading of its answer (RFC 3501 section 7.4.2).

Pure: no socket. Reads any order of items and items nobody asked for; never guesses at a malformed one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeAlias

from core.transport.imap_reader import Response, ResponseError

Value: TypeAlias = "bytes | list[Value] | None"
"""An atom, string or literal; a parenthesised list; NIL."""

_FETCH = re.compile(rb"\* [0-9]+ FETCH (?=\()", re.IGNORECASE)
_TOKEN = re.compile(
    rb" *(?:(?P<open>\()|(?P<close>\))"
    rb'|"(?P<quoted>(?:[^"\\]|\\.)*)"'
    rb"|(?P<literal>\{[0-9]+\+?\}$)"
    # A section may hold spaces and parentheses: BODY[HEADER.FIELDS (DATE)]<0>
    rb'|(?P<atom>(?i:BODY|BINARY)[^ \[]{0,9}\[[^\]]{0,999}\][<0-9>]*|[^ ()"{]+))'
)


@dataclass(frozen=True, slots=True)
class FetchedMail:
    """A mail as it lies in the mailbox; `flags` such as `\\Seen` as the server writes them.

    `size_bytes` is what the server said before; `raw` is what came. `internal_date_at` is when the server received it,
    None where it gives no date that can be read.
    """

    uid: int
    flags: frozenset[str]
    internal_date_at: datetime | None
    size_bytes: int
    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class TooLarge:
    """A mail over the limit; it was not fetched and stays on the server."""

    uid: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Unfetchable:
    """A mail that the server lists but does not hand out; `server_text` is its reason."""

    uid: int
    size_bytes: int
    server_text: str


def batches(sizes_bytes: Mapping[int, int], max_bytes: int, max_count: int) -> Iterator[list[int]]:
    """Cut UIDs, in the order given, into lists of at most that many mails and bytes; a larger mail goes alone."""
    batch: list[int] = []
    batch_bytes = 0
    for uid, size in sizes_bytes.items():
        if batch and (len(batch) == max_count or batch_bytes + size > max_bytes):
            yield batch
            batch, batch_bytes = [], 0
        batch.append(uid)
        batch_bytes += size
    if batch:
        yield batch


def fetch_items(response: Response) -> dict[bytes, Value] | None:
    """Return the items of a FETCH response by upper-case name, None for another response; raises ResponseError."""
    head = _FETCH.match(response[0])
    if head is None:
        return None
    items = _parse(response, head.end())
    if not isinstance(items, list) or len(items) % 2:
        raise ResponseError("a FETCH response is no list of names and values")
    names, values = items[::2], items[1::2]
    return {name.upper(): value for name, value in zip(names, values, strict=True) if isinstance(name, bytes)}


def mail_of(items: Mapping[bytes, Value], size_bytes: int) -> FetchedMail | None:
    """Return the mail in the items of one FETCH response, None if its content is not among them."""
    raw, flags, date = items.get(b"BODY[]"), items.get(b"FLAGS"), items.get(b"INTERNALDATE")
    if not isinstance(raw, bytes):
        return None
    names = flags if isinstance(flags, list) else ()
    return FetchedMail(
        uid=number(items.get(b"UID")),
        flags=frozenset(flag.decode("ascii", "replace") for flag in names if isinstance(flag, bytes)),
        internal_date_at=_date(date) if isinstance(date, bytes) else None,
        size_bytes=size_bytes,
        raw=raw,
    )


def number(value: Value) -> int:
    """Return an unsigned number of 64 bits at most; raises ResponseError."""
    if not isinstance(value, bytes) or not value.isdigit() or len(value) > 19:
        raise ResponseError("where a number belongs there is none")
    return int(value)


def _parse(response: Response, start: int) -> Value:
    open_lists: list[list[Value]] = [[]]
    for kind, value in _tokens(response, start):
        if kind == "open":
            inner: list[Value] = []
            open_lists[-1].append(inner)
            open_lists.append(inner)
        elif kind == "close":
            open_lists.pop()
            if not open_lists:
                raise ResponseError("a parenthesis closes that was not opened")
        else:
            open_lists[-1].append(value)
    if len(open_lists) != 1 or len(open_lists[0]) != 1:
        raise ResponseError("parentheses do not match")
    return open_lists[0][0]


def _tokens(response: Response, start: int) -> Iterator[tuple[str, bytes | None]]:
    for index in range(0, len(response), 2):
        line, at = response[index].rstrip(b" "), start if index == 0 else 0
        while at < len(line):
            token = _TOKEN.match(line, at)
            if token is None or token.lastgroup is None:
                raise ResponseError("a FETCH response cannot be read")
            at = token.end()
            yield token.lastgroup, _value(token.lastgroup, token[token.lastgroup], response, index)


def _value(kind: str, text: bytes, response: Response, index: int) -> bytes | None:
    if kind == "literal":
        return response[index + 1]
    if kind == "quoted":
        return re.sub(rb"\\(.)", rb"\1", text)
    return None if text.upper() == b"NIL" else text


def _date(text: bytes) -> datetime | None:
    # "17-Jul-1996 02:44:25 -0700", with a space for the first digit of the day where that is zero
    try:
        date = parsedate_to_datetime(text.decode("ascii").strip().replace("-", " ", 2))
        return date.astimezone(UTC) if date.tzinfo else date.replace(tzinfo=UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
