"""A POP3 server of a few lines that misbehaves in one named way; for what no real server does on request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from enum import StrEnum

from tests.servers.scripted_imap import mail_number


class Misbehaviour(StrEnum):
    """What goes wrong; everything before it, and after it where there is one, is done properly."""

    NONE = "none"
    BUSY_GREETING = "busy_greeting"
    GARBAGE_GREETING = "garbage_greeting"
    SILENT_GREETING = "silent_greeting"
    NO_CAPA = "no_capa"
    """Knows RFC 1939's required commands only: no CAPA, UIDL, TOP, AUTH or pipelining."""
    NO_STLS = "no_stls"
    STLS_INJECTION = "stls_injection"
    """Sends a line in clear together with its consent to STLS."""
    LOCKED = "locked"
    """The mailbox is open elsewhere."""
    REFUSED = "refused"
    """Refuses the login, and repeats the password."""
    NO_UIDL = "no_uidl"
    SAME_UIDS = "same_uids"
    """Two of the mails have one UIDL."""
    NUMBERED_UIDS = "numbered_uids"
    """A UIDL is the number in the session, and so another mail's the next time."""
    BAD_LIST = "bad_list"
    WRONG_SIZE = "wrong_size"
    """LIST says a byte for each mail."""
    DROP_MID_MAIL = "drop_mid_mail"
    POISON = "poison"
    """Drops the connection in the middle of the second mail, always."""
    ENDLESS_LINE = "endless_line"
    ENDLESS_MAIL = "endless_mail"
    GARBAGE = "garbage"
    SILENCE = "silence"
    DRIP = "drip"
    """Answers RETR a byte at a time, for ever."""
    ONE_REFUSED = "one_refused"
    """Does not hand out the second mail."""
    QUIT_REFUSED = "quit_refused"
    """Takes QUIT and deletes nothing."""
    RUDE_QUIT = "rude_quit"
    """Closes at QUIT without a word, and deletes nothing."""


class ScriptedPop3:
    """A server with mails by UIDL, on loopback at `port`; `received` are its lines, each told to `watcher` first."""

    def __init__(self, misbehaviour: Misbehaviour):
        self.misbehaviour = misbehaviour
        self.mails = {f"uid-{number}": mail_number(number) for number in (1, 2, 3)}
        self.port = 0
        self.received: list[bytes] = []
        self.watcher: Callable[[bytes], None] = lambda line: None
        self.connections: set[asyncio.Task[None]] = set()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        task = asyncio.current_task()
        assert task is not None
        self.connections.add(task)
        deleted: set[int] = set()
        try:
            with suppress(ConnectionError, asyncio.CancelledError):
                await self._greet(writer)
                while line := await reader.readline():
                    self.received.append(line)
                    self.watcher(line)
                    if not await self._answer(line.strip(), list(self.mails), deleted, reader, writer):
                        break
                    await writer.drain()
        finally:
            writer.transport.abort()
            self.connections.discard(task)

    async def _greet(self, writer: asyncio.StreamWriter) -> None:
        match self.misbehaviour:
            case Misbehaviour.BUSY_GREETING:
                writer.write(b"-ERR too many\x1b[31m connections\r\n")
            case Misbehaviour.GARBAGE_GREETING:
                writer.write(b"* OK IMAP4rev1\r\n")
            case Misbehaviour.SILENT_GREETING:
                await asyncio.sleep(60)
            case _:
                writer.write(b"+OK scripted\r\n")

    async def _answer(
        self,
        line: bytes,
        uids: list[str],
        deleted: set[int],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        """Answer one command; return whether the connection goes on."""
        bad = self.misbehaviour
        verb, _, argument = line.partition(b" ")
        first = argument.partition(b" ")[0]  # A TLS client's greeting may begin with a digit too.
        number = int(first) if first.isdigit() else 0
        there = [at for at in range(1, len(uids) + 1) if at not in deleted]
        if verb == b"CAPA" and bad is not Misbehaviour.NO_CAPA:
            writer.write(b"+OK\r\nUIDL\r\nTOP\r\nPIPELINING\r\nUSER\r\nSASL PLAIN\r\nSTLS\r\n.\r\n")
        elif verb == b"STLS" and bad is not Misbehaviour.NO_STLS:
            writer.write(b"+OK go on\r\n" + (b"+OK injected\r\n" if bad is Misbehaviour.STLS_INJECTION else b""))
        elif verb == b"AUTH" and bad is not Misbehaviour.NO_CAPA:
            writer.write(b"+ \r\n")
            said = await reader.readline()
            self.received.append(said)
            writer.write(self._login(said))
        elif verb in (b"USER", b"PASS"):
            writer.write(b"+OK\r\n" if verb == b"USER" else self._login(line))
        elif verb == b"LIST":
            sizes = {at: len(self.mails[uids[at - 1]]) for at in there}
            if bad is Misbehaviour.WRONG_SIZE:
                sizes = dict.fromkeys(sizes, 1)
            lines = [b"%d %d\r\n" % pair for pair in sizes.items()]
            writer.write(b"+OK\r\n" + (b"nonsense\r\n" if bad is Misbehaviour.BAD_LIST else b"".join(lines)) + b".\r\n")
        elif verb == b"UIDL" and bad not in (Misbehaviour.NO_UIDL, Misbehaviour.NO_CAPA):
            names = {at: uids[at - 1] for at in there}
            if bad is Misbehaviour.NUMBERED_UIDS:
                names = {at: str(at) for at in there}
            elif bad is Misbehaviour.SAME_UIDS:
                names = {at: "same" if at < 3 else name for at, name in names.items()}
            writer.write(
                b"+OK\r\n" + b"".join(b"%d %b\r\n" % (at, name.encode()) for at, name in names.items()) + b".\r\n"
            )
        elif verb == b"TOP" and bad is not Misbehaviour.NO_CAPA and number in there:
            header = self.mails[uids[number - 1]].partition(b"\r\n\r\n")[0]
            writer.write(b"+OK\r\n" + header + b"\r\n\r\n.\r\n")
        elif verb == b"RETR" and number in there:
            return await self._hand_out(number, self.mails[uids[number - 1]], writer)
        elif verb == b"DELE" and number in there:
            deleted.add(number)
            writer.write(b"+OK\r\n")
        elif verb == b"QUIT":
            return self._quit([uids[at - 1] for at in deleted], writer)
        else:
            writer.write(b"-ERR what?\r\n")
        return True

    def _login(self, said: bytes) -> bytes:
        if self.misbehaviour is Misbehaviour.LOCKED:
            return b"-ERR [IN-USE] the mailbox is open elsewhere\r\n"
        return b"-ERR no: " + said if self.misbehaviour is Misbehaviour.REFUSED else b"+OK\r\n"

    async def _hand_out(self, number: int, raw: bytes, writer: asyncio.StreamWriter) -> bool:
        stuffed = raw.replace(b"\r\n.", b"\r\n..")
        match self.misbehaviour:
            case Misbehaviour.DROP_MID_MAIL:
                writer.write(b"+OK\r\n" + stuffed[:20])
                await writer.drain()
                return False
            case Misbehaviour.POISON if number == 2:
                writer.write(b"+OK\r\n" + stuffed[:20])
                await writer.drain()
                return False
            case Misbehaviour.ENDLESS_LINE:
                while True:
                    writer.write(b"+OK" * 20_000)
                    await writer.drain()
            case Misbehaviour.ENDLESS_MAIL:
                writer.write(b"+OK\r\n")
                while True:
                    writer.write(b"more and more\r\n" * 5000)
                    await writer.drain()
            case Misbehaviour.GARBAGE:
                writer.write(b"\x00\xff\xfe\r\n")
                return True
            case Misbehaviour.SILENCE:
                return True
            case Misbehaviour.DRIP:
                while True:
                    writer.write(b"+")
                    await writer.drain()
                    await asyncio.sleep(0.01)
            case Misbehaviour.ONE_REFUSED if number == 2:
                writer.write(b"-ERR cannot read it\r\n")
                return True
        writer.write(b"+OK\r\n" + stuffed + b".\r\n")
        return True

    def _quit(self, deleted: list[str], writer: asyncio.StreamWriter) -> bool:
        if self.misbehaviour is Misbehaviour.QUIT_REFUSED:
            writer.write(b"-ERR some deleted messages not removed\r\n")
        elif self.misbehaviour is not Misbehaviour.RUDE_QUIT:
            for uid in deleted:
                self.mails.pop(uid, None)
            writer.write(b"+OK\r\n")
            return True
        return False


@asynccontextmanager
async def scripted_pop3(misbehaviour: Misbehaviour = Misbehaviour.NONE) -> AsyncIterator[ScriptedPop3]:
    """Within the block the server runs; leaving it cuts all its connections."""
    script = ScriptedPop3(misbehaviour)
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
