"""The bytes of an SMTP connection: commands out, whole replies in, in order, each with a deadline.

Knows no envelope. What arrives is judged strictly (RFC 5321 section 4.2): what is no reply ends the connection.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque

from core.mail.retry import Phase
from core.transport.smtp_reply import SmtpError, SmtpReply, printable

LINE_LIMIT_BYTES = 4096
REPLY_LIMIT_BYTES = 65536
_LINE = re.compile(rb"([2-5][0-5][0-9])(?:([ -])([^\0\r]*))?\r?")


class SmtpWire(asyncio.Protocol):
    """Takes over a transport that is connected, encrypted and logged in; `phase` is the step under way.

    Replies are kept in order until they are asked for, so commands may be sent ahead (RFC 2920). `fault` says why the
    connection is over, or is None; replies that came whole before it are still given out.
    """

    def __init__(self, transport: asyncio.Transport, host: str):
        self.phase = Phase.MAIL
        self.fault: str | None = None
        self.replies: deque[SmtpReply] = deque()
        self._transport = transport
        self._host = host
        self._loop = asyncio.get_running_loop()
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._waiter: asyncio.Future[None] | None = None
        self._paused = False
        self._partial = b""
        self._earlier_lines: list[bytes] = []
        self._earlier_bytes = 0
        self._earlier_code = b""
        transport.set_protocol(self)

    def write(self, data: bytes | memoryview, phase: Phase) -> None:
        """Hand bytes to the transport at once, as part of `phase`; raises SmtpError if the connection is over."""
        self.require_open(phase)
        self._transport.write(data)

    def require_open(self, phase: Phase) -> None:
        """Enter a phase; raises SmtpError if the connection is over."""
        self.phase = phase
        if self.fault is not None:
            raise self.error(self.fault)

    async def drained(self, seconds: float) -> None:
        """Return when the network has taken what was written, or the server has spoken; raises SmtpError."""
        if not self._paused:
            return
        deadline_at = self._loop.time() + seconds
        while self._paused and not self.replies:
            if self.fault is not None:
                raise self.error(self.fault)
            await self._event(deadline_at, f"it took less than a block of content in {seconds:g} s")

    async def reply(self, phase: Phase, seconds: float) -> SmtpReply:
        """Return the next reply, due within `seconds`; raises SmtpError at `phase`, also for 421, which ends all."""
        self.phase = phase
        if not self.replies:
            deadline_at = self._loop.time() + seconds
            while not self.replies:
                if self.fault is not None:
                    raise self.error(self.fault)
                await self._event(deadline_at, f"no complete reply within {seconds:g} s")
        reply = self.replies.popleft()
        if reply.code == 421:
            raise self.error("the server closes the connection", reply)
        return reply

    def error(self, reason: str, reply: SmtpReply | None = None) -> SmtpError:
        """Return the error for the phase under way."""
        return SmtpError(self.phase, self._host, reason, reply)

    def abort(self) -> None:
        """Close now; what the network has not taken yet is never sent."""
        self._fail("the connection was closed by us")

    async def wait_closed(self) -> None:
        """Return once the socket is closed, after `abort`."""
        await asyncio.shield(self._closed)

    # What the event loop calls.

    def data_received(self, data: bytes) -> None:
        if self.fault is not None:
            return
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in lines:
            fault = self._take(line)
            if fault:
                break
        else:
            too_long = len(self._partial) > LINE_LIMIT_BYTES
            fault = f"a reply line over {LINE_LIMIT_BYTES} bytes: {_excerpt(data)}" if too_long else ""
        if fault:
            self._fail(f"it broke the protocol: {fault}")
        self._wake()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the connection was lost ({exc or 'closed by the server'})")
        if not self._closed.done():
            self._closed.set_result(None)

    def _take(self, line: bytes) -> str:
        """Add one line to the replies; return what is wrong with it, or nothing."""
        match = _LINE.fullmatch(line)
        if match is None or len(line) > LINE_LIMIT_BYTES:
            return f"{_excerpt(line)} is no reply"
        code, separator, text = match.groups(b"")
        if separator == b"-" or self._earlier_lines:
            return self._take_one_of_several(code, separator, text)
        return self._complete(code, text)

    def _take_one_of_several(self, code: bytes, separator: bytes, text: bytes) -> str:
        earlier = self._earlier_lines
        earlier.append(text)
        self._earlier_bytes += len(text) + len(code)
        if self._earlier_bytes > REPLY_LIMIT_BYTES:
            return f"a reply over {REPLY_LIMIT_BYTES} bytes: {_excerpt(earlier[0])}"
        if len(earlier) > 1 and code != self._earlier_code:
            return f"a reply with two codes: {_excerpt(earlier[0])}, {_excerpt(text)}"
        self._earlier_code = code
        if separator == b"-":
            return ""
        self._earlier_lines, self._earlier_bytes = [], 0
        return self._complete(code, b"\n".join(earlier))

    def _complete(self, code: bytes, text: bytes) -> str:
        reply = SmtpReply(int(code), text)
        if text[:2] in (b"4.", b"5.") and reply.ok and reply.enhanced:
            return f'"{reply}" contradicts itself'
        self.replies.append(reply)
        return ""

    def _fail(self, reason: str) -> None:
        if self.fault is None:
            self.fault = reason
            self._transport.abort()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _event(self, deadline_at: float, lateness: str) -> None:
        """Wait until something happened to the connection; past the deadline, that is its end."""
        self._waiter = self._loop.create_future()
        timer = self._loop.call_at(deadline_at, self._fail, lateness)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None


def _excerpt(raw: bytes) -> str:
    return f'"{printable(raw[:200])}"'
