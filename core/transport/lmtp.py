"""A listener for LMTP (RFC 2033), by which a mail server on the same machine hands mails over.

It speaks and takes apart; what becomes of a mail is for its `Receiver` to say, and `250` is answered only after that.
There is no login: who may connect is for the address it listens at. A mail ends at CRLF dot CRLF and at nothing else,
and everything that a peer sends is bounded.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from core.pattern import pattern

log = structlog.get_logger(__name__)

_SOCKET_MODE = 0o660
_COMMAND_BYTES = 4096
_CHUNK_BYTES = 256 * 1024
_IDLE_S = 300.0
"""RFC 5321 section 4.5.3.2.7."""
_MOST_RECIPIENTS = 1000
_MOST_ERRORS = 20
_END = b"\r\n.\r\n"
_PATH = pattern(r"\s*<(?:@[^:>]*:)?((?:\"[^\"\r\n]*\"|[^<>\"\s])*)>((?:\s+\S+)*)\s*")
_ADDRESS_CHARS = 320


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a mail server says about a mail: its return path, empty for the null sender, and whom it is for."""

    return_path: str
    recipients: tuple[str, ...]
    content: bytes = field(repr=False)


class Refusal(Exception):
    """A recipient or mail that is not taken: a reply code with its enhanced one (RFC 3463), and words."""

    def __init__(self, code: int, enhanced: str, words: str):
        self.code = code
        super().__init__(f"{code} {enhanced} {words}")


class Receiver(Protocol):
    """Who the mails are for."""

    async def check_recipient(self, address: str) -> None:
        """Return where mail for the address is taken; raise Refusal otherwise."""
        ...

    async def receive(self, envelope: Envelope) -> None:
        """Keep a mail, and return when nothing can lose it any more; raise Refusal otherwise."""
        ...


@asynccontextmanager
async def lmtp_listener(
    address: str, receiver: Receiver, *, largest_bytes: int, connections: int = 50
) -> AsyncIterator[str]:
    """Listen at `host:port`, or at the path of a Unix socket, for the block; gives the address in use.

    Mails of more than `largest_bytes` are refused. Raises OSError where the address cannot be had.
    """
    talks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        task.add_done_callback(talks.discard)
        try:
            await _Talk(reader, writer, receiver, largest_bytes).run(is_crowded=len(talks) > connections)
        except (ConnectionError, TimeoutError, asyncio.CancelledError):
            pass  # It left, or we stop: the peer keeps what was not answered, and comes again.
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    if "/" in address:
        await _clear(address)
        server = await asyncio.start_unix_server(talk, address, limit=_CHUNK_BYTES)
        os.chmod(address, _SOCKET_MODE)
        told = address
    else:
        host, _, port = address.rpartition(":")
        server = await asyncio.start_server(talk, host.strip("[]"), int(port), limit=_CHUNK_BYTES)
        told = "{}:{}".format(*server.sockets[0].getsockname()[:2])
    try:
        yield told
    finally:
        server.close()
        await asyncio.sleep(0)  # Who was let in just now has no talk yet.
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        await server.wait_closed()


async def _clear(path: str) -> None:
    """Take away the socket that a dead process left; raise OSError where somebody listens there."""
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except OSError:
        with suppress(FileNotFoundError):
            os.unlink(path)
        return
    writer.close()
    await writer.wait_closed()
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


class _Talk:
    """One connection."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        receiver: Receiver,
        largest_bytes: int,
    ):
        self._reader = reader
        self._writer = writer
        self._receiver = receiver
        self._largest_bytes = largest_bytes
        self._buffer = bytearray()
        self._is_greeted = False
        self._return_path: str | None = None
        self._recipients: list[str] = []
        self._errors = 0

    async def run(self, *, is_crowded: bool) -> None:
        if is_crowded:
            await self._say("421 4.7.0 Too many connections; come again")
            return
        await self._say(f"220 {socket.gethostname()} LMTP Postroom")
        while self._errors < _MOST_ERRORS:
            line = await self._line()
            if line is None:
                await self._say("500 5.5.2 Line too long")
                return
            verb, _, rest = line.partition(" ")
            if verb.upper() == "QUIT":
                await self._say("221 2.0.0 Bye")
                return
            try:
                await self._obey(verb.upper(), rest)
            except Refusal as refusal:
                self._errors += refusal.code >= 500
                await self._say(str(refusal))
        await self._say("421 4.7.0 Too many errors")

    async def _obey(self, verb: str, rest: str) -> None:
        match verb:
            case "LHLO":
                self._is_greeted = True
                self._forget()
                offers = ("PIPELINING", f"SIZE {self._largest_bytes}", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")
                lines = [socket.gethostname(), *offers]
                await self._say(*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}")
            case "MAIL":
                self._mail(rest)
                await self._say("250 2.1.0 Ok")
            case "RCPT":
                await self._rcpt(rest)
                await self._say("250 2.1.5 Ok")
            case "DATA":
                await self._data()
            case "RSET":
                self._forget()
                await self._say("250 2.0.0 Ok")
            case "NOOP":
                await self._say("250 2.0.0 Ok")
            case "VRFY":
                await self._say("252 2.5.0 Send some mail, and see")
            case "HELO" | "EHLO":
                raise Refusal(500, "5.5.1", "This is LMTP; say LHLO")
            case _:
                raise Refusal(500, "5.5.1", "No such command")

    def _mail(self, rest: str) -> None:
        if not self._is_greeted:
            raise Refusal(503, "5.5.1", "Say LHLO first")
        if self._return_path is not None:
            raise Refusal(503, "5.5.1", "A mail is open already")
        address, parameters = _path_after("FROM:", rest)
        size = next((one[5:] for one in parameters if one.upper().startswith("SIZE=")), "")
        if size.isdecimal() and int(size[:15]) > self._largest_bytes:
            raise self._too_large()
        self._return_path = address

    async def _rcpt(self, rest: str) -> None:
        if self._return_path is None:
            raise Refusal(503, "5.5.1", "Say MAIL first")
        if len(self._recipients) >= _MOST_RECIPIENTS:
            raise Refusal(452, "4.5.3", "Too many recipients; send them another copy")
        address, _ = _path_after("TO:", rest)
        if "@" not in address:
            raise Refusal(550, "5.1.3", "A recipient has a domain")
        await self._receiver.check_recipient(address)
        self._recipients.append(address)

    async def _data(self) -> None:
        """Take the mail, and answer once for each recipient (RFC 2033 section 4.2)."""
        if self._return_path is None or not self._recipients:
            raise Refusal(503, "5.5.1", "Say MAIL and RCPT first")
        await self._say("354 End with a dot")
        content = await self._content()
        envelope = Envelope(self._return_path, tuple(self._recipients), content or b"")
        self._forget()
        reply = "250 2.0.0 Kept"
        try:
            if content is None:
                raise self._too_large()
            await self._receiver.receive(envelope)
        except Refusal as refusal:
            reply = str(refusal)
        await self._say(*[reply] * len(envelope.recipients))

    def _forget(self) -> None:
        self._return_path = None
        self._recipients = []

    def _too_large(self) -> Refusal:
        return Refusal(552, "5.3.4", f"A mail may have {self._largest_bytes} bytes")

    # The wire.

    async def _say(self, *lines: str) -> None:
        self._writer.write("".join(f"{line}\r\n" for line in lines).encode("utf-8", "replace"))
        await self._writer.drain()

    async def _line(self) -> str | None:
        """Return the next command; None for one that is too long."""
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > _COMMAND_BYTES:
                return None
            await self._more()
        if end > _COMMAND_BYTES:
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line.removesuffix(b"\r").decode("utf-8", "replace").strip()

    async def _content(self) -> bytes | None:
        """Return the mail that comes, dots restored; None, at its end, for one that is too large."""
        self._buffer[:0] = b"\r\n"
        is_too_large, looked_at = False, 0
        while (end := self._buffer.find(_END, looked_at)) < 0:
            looked_at = max(0, len(self._buffer) - len(_END) + 1)
            if len(self._buffer) > self._largest_bytes + len(_END):
                is_too_large = True
                del self._buffer[:looked_at]
                looked_at = 0
            await self._more()
        content = bytes(memoryview(self._buffer)[: end + 2])
        del self._buffer[: end + len(_END)]
        if is_too_large or len(content) - 2 > self._largest_bytes:
            return None
        return (content.replace(b"\r\n.", b"\r\n") if b"\r\n." in content else content)[2:]

    async def _more(self) -> None:
        async with asyncio.timeout(_IDLE_S):
            chunk = await self._reader.read(_CHUNK_BYTES)
        if not chunk:
            raise ConnectionResetError("the peer left")
        self._buffer += chunk


def _path_after(word: str, rest: str) -> tuple[str, Sequence[str]]:
    """Return the address of `FROM:<address> ...` and the parameters; a source route is left out (RFC 5321, C)."""
    found = _PATH.fullmatch(rest[len(word) :]) if rest[: len(word)].upper() == word else None
    if found is None or len(found[1]) > _ADDRESS_CHARS:
        raise Refusal(501, "5.5.4", f"Write {word}<address>")
    return found[1], found[2].split()
