"""aioimaplib's protocol, repaired: linear reading, a lost connection fails what waits, a refused login ends.

Imported only where a connection is opened, because aioimaplib is slow to import. It keeps that library's commands, tags
and states, and replaces how it reads. Runs one command at a time, each with a total deadline; when a step goes wrong
the connection is closed, for nobody knows what would come next.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from aioimaplib import aioimaplib

from core.pattern import pattern
from core.transport.dial import words_of
from core.transport.imap_account import ImapAccount, ImapError
from core.transport.imap_reader import Response, ResponseError, ResponseReader
from core.transport.sasl import challenge_words
from core.transport.tls import client_context

ALLOWANCE_BYTES = 16 * 1024 * 1024
"""What may come in answer to a command besides mails; a search over a million of them fits."""
_TAGGED = pattern(rb"([A-Z0-9]+) (?:OK|NO|BAD)\b")
_GREETING = pattern(rb"\* (?:OK|PREAUTH|BYE)\b", re.IGNORECASE)
_EXISTS = pattern(rb"\* 0*[1-9][0-9]* EXISTS\b", re.IGNORECASE)
_STATE_AFTER = {
    "LOGIN": aioimaplib.AUTH,
    "AUTHENTICATE": aioimaplib.AUTH,
    "SELECT": aioimaplib.SELECTED,
    "LOGOUT": aioimaplib.LOGOUT,
}
_CLOSED_WITHIN_S = 1.0
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command brought: `status` OK, NO or BAD, the rest of that line, and the untagged responses before it."""

    status: str
    text: bytes
    responses: tuple[Response, ...]


class ImapProtocol(aioimaplib.IMAP4ClientProtocol):  # type: ignore[misc]  # The library has no types.
    """One connection to `host` ("name:port"). `fault` says why it is over, or is None."""

    state: str
    transport: Any
    """An asyncio.Transport, None before the connection is made."""

    def __init__(self, host: str, expects_tls: bool):
        super().__init__(asyncio.get_running_loop())
        self.host = host
        self.step = "connect"
        self.fault: ImapError | None = None
        self.greeting = b""
        self.news = asyncio.Event()
        """Set when the server has told of mail in the mailbox; cleared by whoever looks for it."""
        self._reader = ResponseReader(ALLOWANCE_BYTES)
        self._greeted = asyncio.Event()
        self._closed = asyncio.Event()
        self._expects_tls = expects_tls
        self._sasl_replies: list[bytes] = []
        self.challenge = b""
        """What the server said in the middle of a login, decoded: its reason for a refusal, where it gives one."""
        self._idle_s = 0.0
        self._idle_timer: asyncio.TimerHandle | None = None

    async def within(self, step: str, seconds: float, work: Awaitable[_T]) -> _T:
        """Await one step of at most so many seconds in all; when it fails the connection is closed.

        Raises ImapError, for a lost connection too.
        """
        self.step = step
        try:
            async with asyncio.timeout(seconds):
                return await work
        except ImapError:
            raise
        except TimeoutError:
            raise self.fail(f"no answer within {seconds:g} s") from None
        except (OSError, ValueError, aioimaplib.AioImapException) as error:
            raise self.fail(f"the connection failed: {words_of(error)}") from error
        except asyncio.CancelledError:
            self.abort()
            raise

    async def connect(self, sock: socket.socket, within_s: float) -> None:
        """Take over a connected socket."""
        await self.within("connect", within_s, self.loop.create_connection(lambda: self, sock=sock))

    async def run(
        self,
        step: str,
        name: str,
        *arguments: str,
        within_s: float,
        expected_bytes: int = 0,
        secret: str | None = None,
    ) -> Answer:
        """Run a command, such as `UID FETCH`, to its tagged answer, whichever that is; raises ImapError.

        `expected_bytes` are the mails asked for; a little more may come. `secret` is the part that no log may show.
        """
        if self.fault is not None:
            raise self.fault
        prefix, _, verb = name.rpartition(" ")
        command = aioimaplib.Command(verb, self.new_tag(), *arguments, prefix=prefix, loop=self.loop)
        # Twice, because some servers only estimate sizes.
        self._reader.allowance_bytes = ALLOWANCE_BYTES + 2 * expected_bytes
        response = await self.within(step, within_s, self.execute(command, scrub=secret))
        if response.result == "OK":
            self.state = _STATE_AFTER.get(verb, self.state)
        return Answer(response.result, response.lines[-1], tuple(response.lines[:-1]))

    async def hello(self, within_s: float) -> bool:
        """Wait for the greeting; return whether it says that we are logged in already (PREAUTH)."""
        await self.within("greeting", within_s, self._greeted.wait())
        if self.fault is not None:
            raise self.fault
        self.state = aioimaplib.AUTH if self.greeting[2:9].upper() == b"PREAUTH" else aioimaplib.NONAUTH
        return self.is_logged_in

    @property
    def is_logged_in(self) -> bool:
        return bool(self.state == aioimaplib.AUTH)

    async def start_tls(self, account: ImapAccount) -> str:
        """Encrypt from here on and return version and cipher; what came before the handshake is never read as IMAP."""
        self.step = "tls"
        if self.fault is not None:
            raise self.fault
        try:
            # In a thread, because reading the authorities takes tens of milliseconds.
            context = await asyncio.to_thread(client_context, account.verify, account.ca_file)
        except OSError as error:
            raise self.fail(f"the CA file {account.ca_file} cannot be used: {error}") from error
        if self.fault is not None:
            raise self.fault
        self._expects_tls = False
        upgrade = self.loop.start_tls(self.transport, self, context, server_hostname=account.host)
        try:
            encrypted = await self.within("tls", account.timeout_s, upgrade)
        except BaseException:
            # asyncio does not tell of the end of a connection during a handshake.
            self._closed.set()
            raise
        if encrypted is None:
            raise self.fail("the server closed the connection")
        self.transport = encrypted
        connection: ssl.SSLObject = self.transport.get_extra_info("ssl_object")
        cipher = connection.cipher()
        return f"{connection.version()} {cipher[0] if cipher else ''}".strip()

    async def authenticate(self, method: str, sasl: str, dismissal: bytes, *, at_once: bool, within_s: float) -> Answer:
        """Log in by a SASL method with its base64 text; `at_once` where the server takes it in the command.

        `dismissal` answers a challenge, which from here on can only be a refusal in disguise, and brings the plain one.
        """
        self.challenge = b""
        self._sasl_replies = [dismissal] if at_once else [sasl.encode("ascii"), dismissal]
        arguments = (method, sasl) if at_once else (method,)
        return await self.run("login", "AUTHENTICATE", *arguments, within_s=within_s, secret=sasl)

    async def idle(self, wait_s: float, within_s: float) -> bool:
        """Wait for news, or for `wait_s`, and take leave of IDLE (RFC 2177); whether the server allowed it."""
        self._idle_s = wait_s
        return (await self.run("idle", "IDLE", within_s=wait_s + within_s)).status == "OK"

    def fail(self, reason: str, server_text: bytes = b"") -> ImapError:
        """Close the connection for a reason, hand that to whoever waits, and return the first such error."""
        if self.fault is None:
            self.fault = ImapError(self.step, self.host, reason, server_text)
            self._greeted.set()
            for command in self._pending():
                command._exception = self.fault
                command._event.set()
        self.abort()
        return self.fault

    def abort(self) -> None:
        """Close at once, without a word."""
        if self._idle_timer is not None:
            self._idle_timer.cancel()
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
        super().connection_made(transport)
        if self._expects_tls:
            self.transport.pause_reading()
            self.loop.call_soon(self._pause_again)

    def _pause_again(self) -> None:
        """Pause reading, as some event loops (CPython 3.11.2) begin it only after they told of the connection."""
        if self._expects_tls and not self.transport.is_closing():
            self.transport.resume_reading()
            self.transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed.set()
        self.fail(f"the connection failed: {words_of(exc)}" if exc else "the server closed the connection")

    def data_received(self, data: bytes) -> None:
        try:
            for response in self._reader.feed(data):
                if self.fault is None:
                    self._handle(response)
            if self._expects_tls and not self._reader.is_between_responses:
                raise ResponseError("it speaks before the TLS handshake")
        except ResponseError as error:
            self.fail(f"the server broke the protocol: {error}")

    def _handle(self, response: Response) -> None:
        line = response[0]
        if self._expects_tls:
            raise ResponseError("it speaks before the TLS handshake")
        if not self._greeted.is_set():
            self._greet(line)
        elif line.startswith(b"* "):
            self._handle_untagged(response)
        elif line.startswith(b"+"):
            self._handle_continuation(line)
        elif tagged := _TAGGED.match(line):
            self._handle_tagged(tagged[1].decode("ascii"), line)
        elif line:
            raise ResponseError(f"it says {line[:40]!r}")

    def _greet(self, line: bytes) -> None:
        if not _GREETING.match(line):
            raise ResponseError(f"it greets with {line[:40]!r}")
        if line[2:5].upper() == b"BYE":
            self.fail("the server takes no sessions now", line[6:])
        self.greeting = line
        self._greeted.set()

    def _handle_untagged(self, response: Response) -> None:
        pending = self._pending()
        if len(response) == 1:
            self._hear(response[0], is_leaving=bool(pending) and pending[0].name == "LOGOUT")
        for command in pending:
            command.append_to_resp(response)

    def _hear(self, line: bytes, *, is_leaving: bool) -> None:
        if line[2:5].upper() == b"BYE" and not is_leaving:
            self.fail("the server ended the session", line[6:])
        if _EXISTS.match(line):
            self.news.set()
            self._end_idle()

    def _handle_continuation(self, line: bytes) -> None:
        name = self.pending_sync_command.name if self.pending_sync_command is not None else ""
        if name == "AUTHENTICATE":
            self.challenge = challenge_words(line[1:])
            # "*" gives up (RFC 3501 section 6.2.2).
            self.transport.write((self._sasl_replies.pop(0) if self._sasl_replies else b"*") + b"\r\n")
        elif name == "IDLE":
            self._idle_timer = self.loop.call_later(0 if self.news.is_set() else self._idle_s, self._end_idle)

    def _handle_tagged(self, tag: str, line: bytes) -> None:
        pending = self._pending()
        if not pending or pending[0].tag != tag:
            raise ResponseError("it answers a command that was not given")
        if pending[0].name == "STARTTLS" and line.startswith(b" OK", len(tag)):
            self._expects_tls = True
            self.transport.pause_reading()
        self._response_done(line)

    def _end_idle(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
            self.idle_done()

    def _pending(self) -> list[aioimaplib.Command]:
        """Return the command that waits for its answer, if there is one."""
        commands = [self.pending_sync_command, *self.pending_async_commands.values()]
        return [command for command in commands if command is not None]
