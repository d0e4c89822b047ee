"""An IMAP server of a few lines that misbehaves in one named way; for what no real server does on request."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from enum import StrEnum


def mail_number(number: int) -> bytes:
    """Return a mail that differs from those of other numbers, and not in size."""
    head = b"From: a@customer.test\r\nTo: leads@our.test\r\nSubject: scripted %d\r\n" % number
    return head + b"Message-ID: <%d@customer.test>\r\n\r\nhello\r\n" % number


MAIL = mail_number(1)


class Misbehaviour(StrEnum):
    """What goes wrong; everything before it, and after it where there is one, is done properly."""

    NONE = "none"
    BUSY_GREETING = "busy_greeting"
    """The greeting is a BYE."""
    GARBAGE_GREETING = "garbage_greeting"
    SILENT_GREETING = "silent_greeting"
    PREAUTH = "preauth"
    """Greets as if we were logged in already, so that STARTTLS is out of place."""
    NO_STARTTLS = "no_starttls"
    """Does not know STARTTLS."""
    STARTTLS_INJECTION = "starttls_injection"
    """Sends a line in clear together with its consent to STARTTLS."""
    NO_SASL = "no_sasl"
    """Knows LOGIN only."""
    IDLE_REFUSED = "idle_refused"
    """Offers IDLE, and refuses it."""
    IDLE_OVER = "idle_over"
    """Ends each IDLE as soon as it is asked for."""
    LONG_UIDS = "long_uids"
    """UIDs of twenty digits."""
    LOGIN_UNAVAILABLE = "login_unavailable"
    LOGIN_CHALLENGE = "login_challenge"
    """Asks for more after the credentials, as servers do that refuse an OAuth token."""
    NO_UIDVALIDITY = "no_uidvalidity"
    BYE = "bye"
    """Says BYE to the fetch, and closes."""
    DROP_MID_LITERAL = "drop_mid_literal"
    SHORT_LITERAL = "short_literal"
    """Sends less than it announced, and waits."""
    LONG_LITERAL = "long_literal"
    """Sends more than it announced."""
    HUGE_LITERAL = "huge_literal"
    """Announces four gigabytes."""
    ENDLESS_LINE = "endless_line"
    GARBAGE = "garbage"
    WRONG_TAG = "wrong_tag"
    SILENCE = "silence"
    """Never answers the fetch."""
    DRIP = "drip"
    """Answers the fetch a byte at a time, for ever."""
    MANY_LINES = "many_lines"
    """5000 untagged lines before the answer."""
    ONE_REFUSED = "one_refused"
    """Refuses each fetch that includes UID 2."""
    RUDE_LOGOUT = "rude_logout"
    """Closes at LOGOUT without a word."""
    POISON = "poison"
    """Drops the connection in the middle of UID 2, always."""
    EXPUNGED = "expunged"
    """UID 2 is expunged while it is fetched."""
    NIL_BODY = "nil_body"
    """UID 2 has no content."""


class ScriptedImap:
    """A server with mails of `uids`, at first 1 to 3, on loopback at `port`; `received` are its lines."""

    def __init__(self, misbehaviour: Misbehaviour):
        self.misbehaviour = misbehaviour
        self.port = 0
        self.received: list[bytes] = []
        self.uid_validity = 9
        self.uids: list[int] = [1, 2, 3]
        self.watcher: Callable[[bytes], None] = lambda line: None
        """Told of each line before it is answered, and `then` when it was."""
        self.then: Callable[[bytes], None] = lambda line: None
        self.connections: set[asyncio.Task[None]] = set()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        task = asyncio.current_task()
        assert task is not None
        self.connections.add(task)
        try:
            with suppress(ConnectionError, asyncio.CancelledError):
                await self._greet(writer)
                while line := await reader.readline():
                    self.received.append(line)
                    self.watcher(line)
                    await self._answer(line, reader, writer)
                    await writer.drain()
                    self.then(line)
        finally:
            writer.transport.abort()
            self.connections.discard(task)

    async def _greet(self, writer: asyncio.StreamWriter) -> None:
        match self.misbehaviour:
            case Misbehaviour.BUSY_GREETING:
                writer.write(b"* BYE too many\x1b[31m connections\r\n")
            case Misbehaviour.GARBAGE_GREETING:
                writer.write(b"220 mail.test ESMTP\r\n")
            case Misbehaviour.PREAUTH:
                writer.write(b"* PREAUTH welcome back\r\n")
            case Misbehaviour.SILENT_GREETING:
                await asyncio.sleep(60)
            case _:
                writer.write(b"* OK scripted\r\n")

    async def _answer(self, line: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tag, _, command = line.strip().partition(b" ")
        bad = self.misbehaviour
        if command == b"CAPABILITY":
            has_idle = bad in (Misbehaviour.IDLE_REFUSED, Misbehaviour.IDLE_OVER)
            words = (b"" if bad is Misbehaviour.NO_SASL else b" AUTH=PLAIN") + (b" IDLE" if has_idle else b"")
            writer.write(b"* CAPABILITY IMAP4rev1%b\r\n" % words)
        elif command == b"IDLE" and bad is Misbehaviour.IDLE_REFUSED:
            writer.write(tag + b" BAD what?\r\n")
            return
        elif command == b"STARTTLS":
            extra = b"* OK injected\r\n" if bad is Misbehaviour.STARTTLS_INJECTION else b""
            no = bad is Misbehaviour.NO_STARTTLS
            writer.write(tag + (b" BAD what?\r\n" if no else b" OK go on\r\n" + extra))
            return
        elif command.startswith(b"AUTHENTICATE"):
            writer.write(b"+ \r\n")
            self.received.append(await reader.readline())
            if bad is Misbehaviour.LOGIN_CHALLENGE:
                writer.write(b"+ eyJzdGF0dXMiOiI0MDEifQ==\r\n")
                self.received.append(await reader.readline())
                writer.write(tag + b" NO refused\r\n")
                return
            if bad is Misbehaviour.LOGIN_UNAVAILABLE:
                writer.write(tag + b" NO [UNAVAILABLE] later\r\n")
                return
        elif command == b"LOGOUT" and bad is Misbehaviour.RUDE_LOGOUT:
            writer.close()
            return
        elif command.startswith(b"SELECT"):
            writer.write(b"* %d EXISTS\r\n* FLAGS (\\Seen)\r\n" % len(self.uids))
            has_validity = bad is not Misbehaviour.NO_UIDVALIDITY
            writer.write(b"* OK [UIDVALIDITY %d] ok {5}\r\n" % self.uid_validity if has_validity else b"")
        elif command.startswith(b"UID SEARCH"):
            for uid in self.uids:
                writer.write(b"* SEARCH %d\r\n" % (10**20 if bad is Misbehaviour.LONG_UIDS else uid))
        elif b"RFC822.SIZE" in command:
            for uid in filter(lambda uid: _covers(command, uid), self.uids):
                writer.write(b"* %d FETCH (UID %d RFC822.SIZE %d)\r\n" % (uid, uid, len(mail_number(uid))))
        elif b"BODY.PEEK" in command and not await self._fetch(tag, command, writer):
            return
        writer.write(tag + b" OK done\r\n")

    async def _fetch(self, tag: bytes, command: bytes, writer: asyncio.StreamWriter) -> bool:
        """Answer a fetch of mails, badly; return whether the proper end is to follow."""
        more_bytes = 0
        match self.misbehaviour:
            case Misbehaviour.BYE:
                writer.write(b"* BYE going down\r\n")
                writer.close()
                return False
            case Misbehaviour.DROP_MID_LITERAL:
                return await self._break_off(writer)
            case Misbehaviour.POISON if _covers(command, 2):
                return await self._break_off(writer)
            case Misbehaviour.SHORT_LITERAL:
                more_bytes = 10_000
            case Misbehaviour.LONG_LITERAL:
                more_bytes = -10
            case Misbehaviour.HUGE_LITERAL:
                more_bytes = 4_000_000_000
            case Misbehaviour.ENDLESS_LINE:
                while True:
                    writer.write(b"* 1 FETCH " + b"(" * 65536)
                    await writer.drain()
            case Misbehaviour.GARBAGE:
                writer.write(b"\x00\xff\xfe {12}\r\n")
            case Misbehaviour.WRONG_TAG:
                writer.write(b"ZZ99 OK done\r\n")
            case Misbehaviour.SILENCE:
                return False
            case Misbehaviour.DRIP:
                while True:
                    writer.write(b"*")
                    await writer.drain()
                    await asyncio.sleep(0.01)
            case Misbehaviour.MANY_LINES:
                writer.write(b"".join(b"* %d FETCH (FLAGS (\\Seen))\r\n" % number for number in range(1, 5001)))
            case Misbehaviour.ONE_REFUSED if _covers(command, 2):
                writer.write(tag + b" NO [SERVERBUG] cannot read it\r\n")
                return False
        for uid in list(self.uids):
            if self.misbehaviour is Misbehaviour.EXPUNGED and uid == 2:
                self.uids.remove(2)
                writer.write(b"* 2 EXPUNGE\r\n")
            elif self.misbehaviour is Misbehaviour.NIL_BODY and uid == 2:
                writer.write(b"* 2 FETCH (UID 2 FLAGS () BODY[] NIL)\r\n")
            elif _covers(command, uid):
                writer.write(_mail(uid, more_bytes))
        return True

    async def _break_off(self, writer: asyncio.StreamWriter) -> bool:
        writer.write(_mail(1)[:60])
        await writer.drain()
        writer.close()
        return False


@asynccontextmanager
async def scripted_imap(misbehaviour: Misbehaviour = Misbehaviour.NONE) -> AsyncIterator[ScriptedImap]:
    """Within the block the server runs; leaving it cuts all its connections."""
    script = ScriptedImap(misbehaviour)
    server = await asyncio.start_server(script.talk, "127.0.0.1", 0)
    script.port = server.sockets[0].getsockname()[1]
    try:
        yield script
    finally:
        server.close()
        for connection in script.connections:
            connection.cancel()
        await asyncio.gather(*script.connections, return_exceptions=True)
        await server.wait_closed()


def _mail(uid: int, more_bytes: int = 0) -> bytes:
    raw = mail_number(uid)
    return b"* %d FETCH (UID %d FLAGS (\\Seen) BODY[] {%d}\r\n%b)\r\n" % (uid, uid, len(raw) + more_bytes, raw)


def _covers(command: bytes, uid: int) -> bool:
    """Whether the sequence set of `UID FETCH set ...` holds a UID."""
    ranges = re.findall(rb"(\d+)(?::(\d+))?", command.split()[2])
    return any(int(first) <= uid <= int(last or first) for first, last in ranges)
