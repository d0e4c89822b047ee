"""Reading what a FETCH brings (RFC 3501 section 7.4.2).

Pure: no socket. Reads any order of items and items nobody asked for; never guesses at a malformed one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeAlias

from core.pattern import pattern
from core.transport.imap_reader import Response, ResponseError

Value: TypeAlias = "bytes | list[Value] | None"
"""An atom, string or literal; a parenthesised list; NIL."""

_PLAIN = pattern(rb"\* [0-9]+ FETCH \(UID ([0-9]{1,10}) BODY\[\] \{[0-9]+\}", re.IGNORECASE)
_PLAIN_SIZE = pattern(rb"\* [0-9]+ FETCH \(UID ([0-9]{1,10}) RFC822\.SIZE ([0-9]{1,15})\)", re.IGNORECASE)
_FETCH = pattern(rb"\* [0-9]+ FETCH (?=\()", re.IGNORECASE)
_TOKEN = pattern(
    rb" *(?:(?P<open>\()|(?P<close>\))"
    rb'|"(?P<quoted>(?:[^"\\]|\\.)*)"'
    rb"|(?P<literal>\{[0-9]+\+?\}$)"
    # A section may hold spaces and parentheses: BODY[HEADER.FIELDS (DATE)]<0>
    rb'|(?P<atom>(?i:BODY|BINARY)[^ \[]{0,9}\[[^\]]{0,999}\][<0-9>]*|[^ ()"{]+))'
)


def content_of(response: Response) -> tuple[int, bytes] | None:
    """Return the UID and content that a response brings, None for one that brings none; raises ResponseError."""
    # As nearly every server writes it; reading it so is an order of magnitude faster.
    if len(response) == 3 and response[2] == b")" and (plain := _PLAIN.fullmatch(response[0])):
        return int(plain[1]), response[1]
    items = fetch_items(response)
    content = items.get(b"BODY[]") if items else None
    return (number(items.get(b"UID")), content) if items and isinstance(content, bytes) else None


def size_of(response: Response) -> tuple[int, int] | None:
    """Return the UID and size that a response brings, None for one that brings none; raises ResponseError."""
    if plain := _PLAIN_SIZE.fullmatch(response[0]):
        return int(plain[1]), int(plain[2])
    items = fetch_items(response)
    if not items or not {b"UID", b"RFC822.SIZE"} <= items.keys():
        return None
    return number(items[b"UID"]), number(items[b"RFC822.SIZE"])


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


def number(value: Value) -> int:
    """Return an unsigned number of 15 digits at most; raises ResponseError."""
    if not isinstance(value, bytes) or not value.isdigit() or len(value) > 15:
        raise ResponseError("where a number belongs there is none")
    return int(value)


def _parse(response: Response, start: int) -> Value:
    open_lists: list[list[Value]] = [[]]
    for kind, value in tokens(response, start):
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


def tokens(response: Response, start: int) -> Iterator[tuple[str, bytes | None]]:
    """Yield the parts of a response from a place in its first line on, each with its kind; raises ResponseError."""
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
        if index + 1 >= len(response):
            raise ResponseError("a literal is announced that does not come")
        return response[index + 1]
    if kind == "quoted":
        return re.sub(rb"\\(.)", rb"\1", text)
    return None if text.upper() == b"NIL" else text
