"""From the bytes of an IMAP connection to whole responses (RFC 3501 sections 2.2 and 4.3).

Pure: it is fed and answers. Knows lines and literals, not what they mean. Linear in what arrives, and it takes no more
than it is allowed, so that no server can fill the memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO

from core.pattern import pattern

Response = tuple[bytes, ...]
"""A line without its line end; where it announces a literal, that follows, and then the next line: odd in number."""

RESPONSE_COST_BYTES = 256
"""What each response costs besides its bytes, as many tiny ones fill the memory too."""
LONG_LITERAL_BYTES = 256 * 1024
"""A literal beyond this is gathered apart from the lines."""
_LITERAL_AHEAD = pattern(rb"\{([0-9]{1,10})\+?\}$")
# In these the rest is a text for a person, which may end in anything.
_STATUS = pattern(rb"\* (?:OK|NO|BAD|BYE|PREAUTH)\b", re.IGNORECASE)


class ResponseError(ValueError):
    """What the server sent is no IMAP; the message says why."""


class ResponseReader:
    """Cuts a stream into responses, wherever the network cut it.

    `allowance_bytes` is how much may still arrive; whoever asks the server for something sets it before. A long literal
    is in memory once, and not copied when it is whole.
    """

    def __init__(self, allowance_bytes: int):
        self.allowance_bytes = allowance_bytes
        self._buffer = bytearray()
        self._searched = 0
        self._literal_bytes: int | None = None
        self._long_literal: BytesIO | None = None
        self._pieces: list[bytes] = []

    @property
    def is_between_responses(self) -> bool:
        return not self._buffer and not self._pieces

    def feed(self, data: bytes) -> Iterator[Response]:
        """Take what arrived and give the responses that are now complete; raises ResponseError beyond the allowance."""
        self._spend(len(data))
        self._buffer += self._into_long_literal(data)
        at = 0
        while (found := self._next_piece(at)) is not None:
            piece, at = found
            self._pieces.append(piece)
            self._literal_bytes = self._announced() if self._literal_bytes is None else None
            if self._literal_bytes is None and len(self._pieces) % 2:
                response, self._pieces = tuple(self._pieces), []
                self._spend(RESPONSE_COST_BYTES)
                yield response
        del self._buffer[:at]
        self._searched = max(0, len(self._buffer) - 1)

    def _into_long_literal(self, data: bytes) -> bytes:
        """Add to a long literal what belongs to it, and return the rest."""
        if self._long_literal is None or self._literal_bytes is None:
            return data
        missing = self._literal_bytes - self._long_literal.tell()
        self._long_literal.write(memoryview(data)[:missing])
        return data[missing:]

    def _next_piece(self, at: int) -> tuple[bytes, int] | None:
        """Return the next line or literal from `at` on and where what follows it begins, None if it is not whole."""
        if self._long_literal is not None:
            if self._long_literal.tell() != self._literal_bytes:
                return None
            piece, self._long_literal = self._long_literal.getvalue(), None
            return piece, at
        if self._literal_bytes is not None:
            end = after = at + self._literal_bytes
            if end > len(self._buffer):
                self._begin_long_literal(at)
                return None
        else:
            end = self._buffer.find(b"\r\n", max(at, self._searched))
            after = end + 2
            if end < 0:
                return None
        with memoryview(self._buffer) as view:
            return bytes(view[at:end]), after

    def _begin_long_literal(self, at: int) -> None:
        if self._literal_bytes is not None and self._literal_bytes > LONG_LITERAL_BYTES:
            self._long_literal = BytesIO()
            with memoryview(self._buffer) as view:
                self._long_literal.write(view[at:])
            del self._buffer[at:]

    def _announced(self) -> int | None:
        if not self._pieces[-1].endswith(b"}") or not self._pieces[0].startswith(b"* "):
            return None
        if _STATUS.match(self._pieces[0]):
            return None
        ahead = _LITERAL_AHEAD.search(self._pieces[-1])
        if ahead is None:
            return None
        size = int(ahead[1])
        if size > self.allowance_bytes + len(self._buffer):
            raise ResponseError(f"it announces {size} bytes where it was asked for less")
        return size

    def _spend(self, size: int) -> None:
        self.allowance_bytes -= size
        if self.allowance_bytes < 0:
            raise ResponseError("it sends more than it was asked for")
