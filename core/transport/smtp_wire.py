"""The bytes of an SMTP connection: commands out, whole replies in, in order, each with a deadline.

Knows no envelope. What arrives is judged strictly (RFC 5321 section 4.2): what is no reply ends the connection.
"""

from __future__ import annotations

import asyncio
from collections import deque

from core.mail.retry import Phase
from core.pattern import pattern
from core.transport.smtp_reply import SmtpError, SmtpReply, printable

LINE_LIMIT_BYTES = 4096
REPLY_LIMIT_BYTES = 65536
KNOWN_LINES = 32
_LINE = pattern(rb"([2-5][0-5][0-9])(?:([ -])([^\0\r]*))?\r?")


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
        # Most servers answer MAIL, RCPT and DATA with the same words each time.
        self._known: dict[bytes, SmtpReply] = {}
        self._deadline: tuple[float, str, float] = (0.0, "", 0.0)
        """When what is awaited is late, and the words and seconds to say so."""
        self._timer: asyncio.TimerHandle | None = None
        """Rings at the deadline or before it: setting one for each reply would take as long as reading it."""
        transport.set_protocol(self)

    def write(self, data: bytes | memoryview, phase: Phase) -> None:
        """Hand bytes to the transport at once, as part of `phase`; raises SmtpError if the connection is over."""
        self.require_open(phase)
        self._transport.write(data)

    def require_open(self, phase: Phase) -> None:
        """Enter a phase; raises SmtpError if the connection is over."""
        self.phase = phase
        if self.fault is None and self._transport.is_closing():
            # The event loop knows it already and will say so; uvloop takes no more bytes until then.
            self._fail("the connection was lost")
        if self.fault is not None:
            raise self.error(self.fault)

    async def drained(self, seconds: float) -> None:
        """Return when the network has taken what was written, or the server has spoken; raises SmtpError."""
        if not self._paused:
            return
        self._deadline = self._loop.time() + seconds, "it took less than a block of content in", seconds
        while self._paused and not self.replies:
            if self.fault is not None:
                raise self.error(self.fault)
            await self._event()

    async def reply(self, phase: Phase, seconds: float) -> SmtpReply:
        """Return the next reply, due within `seconds`: 2xx, for DATA 354, or a refusal.

        Raises SmtpError at `phase` if none comes, if it is another, and for 421, which ends the connection.
        """
        self.phase = phase
        if not self.replies:
            self._deadline = self._loop.time() + seconds, "no complete reply within", seconds
            while not self.replies:
                if self.fault is not None:
                    raise self.error(self.fault)
                await self._event()
        return self.taken(phase)

    def taken(self, phase: Phase) -> SmtpReply:
        """Return the next of the `replies`, which has come; raises SmtpError as `reply` does."""
        self.phase = phase
        reply = self.replies.popleft()
        if reply.code == 421:
            raise self.error("the server closes the connection", reply)
        if reply.code < 400 and (reply.code != 354 if phase is Phase.DATA else reply.code >= 300):
            raise self.error(f"it broke the protocol: {reply} is no answer here")
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
        try:
            for line in lines:
                reply = self._known.get(line)
                if reply is None or self._earlier_lines:
                    reply = self._read(line)
                if reply is not None:
                    self.replies.append(reply)
            if len(self._partial) > LINE_LIMIT_BYTES:
                raise _NotAReplyError(f"a line over {LINE_LIMIT_BYTES} bytes: {_excerpt(self._partial)}")
        except _NotAReplyError as error:
            self._fail(f"it broke the protocol, no reply: {error}")
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

    def _read(self, line: bytes) -> SmtpReply | None:
        """Return the reply that this line completes, or None if more lines are to come."""
        match = _LINE.fullmatch(line)
        if match is None or len(line) > LINE_LIMIT_BYTES:
            raise _NotAReplyError(_excerpt(line))
        code, separator, text = match.groups(b"")
        if separator == b"-" or self._earlier_lines:
            return self._read_one_of_several(code, separator, text)
        reply = _reply(code, text)
        if len(self._known) < KNOWN_LINES:
            self._known[line] = reply
        return reply

    def _read_one_of_several(self, code: bytes, separator: bytes, text: bytes) -> SmtpReply | None:
        lines = self._earlier_lines
        if lines and code != self._earlier_code:
            raise _NotAReplyError(f"lines of {self._earlier_code.decode()} and {code.decode()} in one")
        self._earlier_code = code
        self._earlier_bytes += len(text) + len(code)
        if self._earlier_bytes > REPLY_LIMIT_BYTES:
            raise _NotAReplyError(f"over {REPLY_LIMIT_BYTES} bytes, beginning with {_excerpt(lines[0])}")
        lines.append(text)
        if separator == b"-":
            return None
        self._earlier_lines, self._earlier_bytes = [], 0
        return _reply(code, b"\n".join(lines))

    def _fail(self, reason: str) -> None:
        if self.fault is None:
            self.fault = reason
            self._transport.abort()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _event(self) -> None:
        """Wait until something happened to the connection; past the deadline, that is its end."""
        self._waiter = self._loop.create_future()
        if self._timer is None or self._timer.when() > self._deadline[0]:
            self._set_timer()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._deadline[0], self._rings)

    def _rings(self) -> None:
        self._timer = None
        deadline_at, words, seconds = self._deadline
        if self._waiter is None:
            return
        if self._loop.time() < deadline_at:
            self._set_timer()
        else:
            self._fail(f"{words} {seconds:g} s")


class _NotAReplyError(ValueError):
    """What came is no SMTP reply."""


def _reply(code: bytes, text: bytes) -> SmtpReply:
    reply = SmtpReply(int(code), text)
    if text[:2] in (b"4.", b"5.") and reply.ok and reply.enhanced:
        raise _NotAReplyError(f'"{reply}" contradicts itself')
    return reply


def _excerpt(raw: bytes) -> str:
    return f'"{printable(raw[:200])}"'
