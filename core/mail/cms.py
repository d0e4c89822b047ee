"""The content of a mail that was signed as a whole (S/MIME `signed-data`, RFC 8551 section 3.5.2), to be read.

It finds the signed bytes in the Cryptographic Message Syntax (RFC 5652 section 5) and judges no signature. DER is read,
and BER with content in pieces and lengths told by a mark at the end; bounded by the bytes that are there, no recursion.
"""

from __future__ import annotations

from typing import NamedTuple

_SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")
_DATA = bytes.fromhex("06092a864886f70d010701")
_SEQUENCE, _SET, _INTEGER, _EXPLICIT, _OCTETS, _PIECES = 0x30, 0x31, 0x02, 0xA0, 0x04, 0x24
_MOST_PIECES = 100_000


class _Element(NamedTuple):
    """A tag, where the content begins, and where the element ends; None where only a mark will tell."""

    tag: int
    start: int
    end: int | None


def signed_content(data: bytes) -> bytes | None:
    """Return the bytes that were signed, a MIME entity; None where the data is no such thing, or is cut off."""
    try:
        at = _enter(data, 0, _SEQUENCE)
        at = _after(data, at, _SIGNED_DATA)
        at = _enter(data, at, _EXPLICIT)
        at = _enter(data, at, _SEQUENCE)
        at = _pass(data, at, _INTEGER)
        at = _pass(data, at, _SET)
        at = _enter(data, at, _SEQUENCE)
        at = _after(data, at, _DATA)
        return _octets(data, _enter(data, at, _EXPLICIT))
    except EOFError:
        return None


def _element(data: bytes, at: int) -> _Element:
    if at + 2 > len(data):
        raise EOFError
    tag, length = data[at], data[at + 1]
    if length < 0x80:
        start = at + 2
    elif length == 0x80:
        return _Element(tag, at + 2, None)
    else:
        start = at + 2 + (length & 0x7F)
        if length > 0x84 or start > len(data):
            raise EOFError
        length = int.from_bytes(data[at + 2 : start], "big")
    if start + length > len(data):
        raise EOFError
    return _Element(tag, start, start + length)


def _enter(data: bytes, at: int, tag: int) -> int:
    found = _element(data, at)
    if found.tag != tag:
        raise EOFError
    return found.start


def _after(data: bytes, at: int, expected: bytes) -> int:
    if not data.startswith(expected, at):
        raise EOFError
    return at + len(expected)


def _pass(data: bytes, at: int, tag: int) -> int:
    """Return where the element ends, its own elements passed over."""
    found = _element(data, at)
    if found.tag != tag:
        raise EOFError
    if found.end is not None:
        return found.end
    open_elements = 1
    at = found.start
    while open_elements:
        inner = _element(data, at)
        if inner.end is None:
            open_elements += 1
        elif inner.tag == 0:
            open_elements -= 1
        at = inner.start if inner.end is None else inner.end
    return at


def _octets(data: bytes, at: int) -> bytes:
    whole = _element(data, at)
    if whole.tag == _OCTETS and whole.end is not None:
        return data[whole.start : whole.end]
    if whole.tag != _PIECES:
        raise EOFError
    pieces: list[bytes] = []
    at = whole.start
    while (whole.end is None or at < whole.end) and len(pieces) < _MOST_PIECES:
        piece = _element(data, at)
        if piece.tag != _OCTETS or piece.end is None:
            break
        pieces.append(data[piece.start : piece.end])
        at = piece.end
    return b"".join(pieces)
