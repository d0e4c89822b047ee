"""One connection to a POP3 server: lines out; single lines and texts that end in a dot in (RFC 1939 section 3).

Knows no commands. It takes no more than it is allowed, and reads on only as fast as it is read from, so that no server
can fill the memory. Each step has a total deadline; when one goes wrong the connection is closed.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable
from contextlib import suppress
from io import BytesIO
from typing import Any, TypeVar, cast

from core.transport.dial import words_of
from core.transport.pop3_account import Pop3Account, Pop3Error
from core.transport.tls import client_context

LINE_BYTES = 8192
_BUFFER_BYTES = 512 * 1024
_END = b"\r\n.\r\n"
_CLOSED_WITHIN_S = 1.0
_T = TypeVar("_T")


class Pop3Wire(asyncio.Protocol):
    """A connection to `host` ("name:port"); after a Pop3Error or a cancellation it is closed."""

    def __init__(self, account: Pop3Account):
        self.account = account
        self.transport: Any = None
        """An asyncio.Transport, None before the connection is made."""
        self._buffer = bytearray()
        self._arrived = asyncio.Event()
        self._closed = asyncio.Event()
        self._lost = ""
        self._waits_for_tls = account.is_implicit_tls

    async def connect(self, sock: socket.socket) -> None:
        """Take over a connected socket."""
        loop = asyncio.get_running_loop()
        await self.within("connect", self.account.timeout_s, loop.create_connection(lambda: self, sock=sock))

    async def start_tls(self) -> str:
        """Encrypt from here on and return version and cipher; what came before the handshake is never believed."""
        account, loop = self.account, asyncio.get_running_loop()
        self.transport.pause_reading()
        try:
            # In a thread, because reading the authorities takes tens of milliseconds.
            context = await asyncio.to_thread(client_context, account.verify, account.ca_file)
        except OSError as error:
            raise self.fail("tls", f"the CA file {account.ca_file} cannot be used: {error}") from error
        if self._buffer:
            raise self.fail("tls", "the server broke the protocol: it speaks before the TLS handshake")
        self._waits_for_tls = False
        upgrade = loop.start_tls(self.transport, self, context, server_hostname=account.host)
        try:
            encrypted = await self.within("tls", account.timeout_s, cast(Awaitable[Any], upgrade))
        except BaseException:
            # asyncio does not tell of the end of a connection during a handshake.
            self._closed.set()
            raise
        if encrypted is None:
            raise self.fail("tls", "the server closed the connection")
        self.transport = encrypted
        channel = encrypted.get_extra_info("ssl_object")
        cipher = channel.cipher()
        return f"{channel.version()} {cipher[0] if cipher else ''}".strip()

    async def within(self, step: str, seconds: float, work: Awaitable[_T]) -> _T:
        """Await one step of at most so many seconds in all; Pop3Error when it fails."""
        try:
            async with asyncio.timeout(seconds):
                return await work
        except Pop3Error:
            raise
        except TimeoutError:
            raise self.fail(step, f"no answer within {seconds:g} s") from None
        except EOFError as error:
            raise self.fail(step, str(error)) from None
        except OSError as error:  # A certificate's error is a ValueError too.
            raise self.fail(step, f"the connection failed: {words_of(error)}") from error
        except ValueError as error:
            raise self.fail(step, f"the server broke the protocol: {error}") from None
        except asyncio.CancelledError:
            self.abort()
            raise

    def send(self, *lines: str) -> None:
        """Send commands, all in one write."""
        self.transport.write("".join(f"{line}\r\n" for line in lines).encode())

    async def line(self) -> bytes:
        """Return the next line without its end; ValueError for an endless one, EOFError where there is none."""
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > LINE_BYTES:
                raise ValueError("it sends a line without an end")
            await self._more()
        line = bytes(self._buffer[:end]).removesuffix(b"\r")
        del self._buffer[: end + 1]
        return line

    async def text(self, most_bytes: int) -> bytes:
        """Return what comes up to the line with a dot alone, doubled dots made single; ValueError beyond the limit."""
        while len(self._buffer) < 3:
            await self._more()
        if self._buffer.startswith(b".\r\n"):
            del self._buffer[:3]
            return b""
        text = BytesIO()
        while (end := self._buffer.find(_END)) < 0:
            self._take(text, max(0, len(self._buffer) - len(_END) + 1))
            if text.tell() > most_bytes:
                raise ValueError("it sends more than it was asked for")
            await self._more()
        self._take(text, end + 2)
        del self._buffer[: len(_END) - 2]
        raw = text.getvalue().replace(b"\r\n..", b"\r\n.")
        return raw[1:] if raw.startswith(b"..") else raw

    def fail(self, step: str, reason: str, server_text: bytes = b"") -> Pop3Error:
        """Close the connection and return the error that says why."""
        self.abort()
        return Pop3Error(step, str(self.account), reason, server_text)

    def abort(self) -> None:
        """Close at once, without a word."""
        if self.transport is not None:
            self.transport.abort()

    async def wait_closed(self) -> None:
        """Close, and return when the socket is gone."""
        self.abort()
        if self.transport is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSED_WITHIN_S):
                    await self._closed.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        if self._waits_for_tls:
            self.transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._arrived.set()
        if len(self._buffer) > _BUFFER_BYTES:
            self.transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = f"the connection failed: {words_of(exc)}" if exc else "the server closed the connection"
        self._closed.set()
        self._arrived.set()

    def _take(self, text: BytesIO, size: int) -> None:
        with memoryview(self._buffer) as view:
            text.write(view[:size])
        del self._buffer[:size]

    async def _more(self) -> None:
        if self._lost:
            raise EOFError(self._lost)
        self._arrived.clear()
        self.transport.resume_reading()
        await self._arrived.wait()
