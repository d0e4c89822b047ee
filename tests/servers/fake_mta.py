"""A mail server that misbehaves on request, over real sockets, and keeps a ledger of what it accepted.

Without a script it is a fast sink: a plain protocol that takes everything. With one, each conversation follows it. What
it receives is read strictly: only CRLF.CRLF ends a mail. As a program it serves benchmarks and tests that kill:

    python -m tests.servers.fake_mta --ledger accepted.jsonl [--port 0] [--script script.json] [--latency-ms 30]

prints `{"port": 12345}`, and with --events a line for each final dot that a script's conversation reads ("dot") and for
each mail written down but not yet answered ("accepted").
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import socket
import ssl
import struct
import sys
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from time import time
from typing import Any, TextIO, cast

from core.transport.smtp_account import SmtpAccount
from tests.servers.certificate import Certificate

EXTENSIONS = ("PIPELINING", "8BITMIME", "SIZE 26214400", "SMTPUTF8", "ENHANCEDSTATUSCODES")
_MESSAGE_ID = re.compile(rb"^message-id:\s*(<[^>\r\n]*>)", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """What the server does at one step. Without `reply` or `raw` it says its usual line, unless it drops or is silent.

    `reply` may have several lines. `raw` is sent exactly. `drop` closes afterwards, `reset` with an RST. `drip_s` is
    the pause after each `piece_bytes` of the answer. Nothing is done before `after` is set.
    """

    reply: str = ""
    raw: bytes = b""
    delay_s: float = 0
    drip_s: float = 0
    piece_bytes: int = 1
    drop: bool = False
    reset: bool = False
    silent: bool = False
    after: asyncio.Event | None = None

    @property
    def accepts(self) -> bool:
        return not self.reply or self.reply[0] in "23"


Acts = Act | tuple[Act | None, ...]
"""One act for every time, or one for each time in turn, over all connections; None and the rest are usual."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """How the server behaves. Steps: connect ehlo helo starttls auth mail rcpt data block dot lone_dot rset noop quit.

    `block` acts once some content was read, before the dot. `recipients` acts for one address. `read_bytes_per_s` reads
    content slowly through a small window. `injected` follows the reply to STARTTLS in clear text.
    """

    steps: Mapping[str, Acts] = field(default_factory=dict)
    recipients: Mapping[str, Acts] = field(default_factory=dict)
    extensions: tuple[str, ...] = EXTENSIONS
    certificate: Certificate | None = None
    is_implicit_tls: bool = False
    injected: bytes = b""
    logins: Mapping[str, str] = field(default_factory=dict)
    auth_methods: tuple[str, ...] = ("PLAIN", "LOGIN")
    messages_per_connection: int | None = None
    read_bytes_per_s: int | None = None

    @classmethod
    def from_json(cls, text: str) -> Script:
        """Read the plain fields; an act is an object, acts in turn are a list of objects and nulls."""
        fields = json.loads(text)
        for name in ("steps", "recipients"):
            fields[name] = {key: _acts(value) for key, value in fields.get(name, {}).items()}
        for name in ("extensions", "auth_methods"):
            if name in fields:
                fields[name] = tuple(fields[name])
        return cls(**fields)


def _acts(value: Any) -> Acts:
    if isinstance(value, list):
        return tuple(act and Act(**act) for act in value)
    return Act(**value)


@dataclass(frozen=True, slots=True)
class Accepted:
    """One mail for one recipient that the server took responsibility for; `raw` is without the dots of transport."""

    at: float
    sender: str
    recipient: str
    message_id: str
    sha256: str
    raw: bytes

    def line(self, with_raw: bool) -> str:
        fields = asdict(self)
        fields["raw"] = b64encode(self.raw).decode() if with_raw else None
        return json.dumps(fields) + "\n"


class FakeMta:
    """`async with FakeMta(script) as mta:` listens on `mta.port`; `mta.ledger` and `mta.commands` tell what came."""

    def __init__(
        self,
        script: Script | None = None,
        *,
        port: int = 0,
        latency_s: float = 0,
        keeps_ledger: bool = True,
        ledger_file: TextIO | None = None,
        keeps_raw: bool = True,
        on_event: Callable[[str, str], None] | None = None,
    ):
        self.port = port
        self.script = script
        self.latency_s = latency_s
        self.ledger: list[Accepted] = []
        self.commands: list[str] = []
        """Every command line of every scripted conversation; content is left out."""
        self.messages = 0
        self.connections = 0
        self.turns = 0
        """How often the sink answered, whatever number of replies at once: the round trips that clients waited for."""
        self._keeps_ledger = keeps_ledger
        self._ledger_file = ledger_file
        self._keeps_raw = keeps_raw
        self.on_event = on_event
        """Told at once: each step that a script's conversation comes to (connect, the commands, block, dot), before the
        answer; "accepted" once a mail is written down; "answered" once the reply to its dot was handed over.
        """
        self._times: Counter[str] = Counter()
        self._transports: set[asyncio.WriteTransport] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> FakeMta:
        loop = asyncio.get_running_loop()
        listener = socket.create_server(("127.0.0.1", self.port), backlog=1024)
        # Inherited by each connection: asyncio sets it only where the listener names its protocol.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.script is not None and self.script.read_bytes_per_s is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        self.port = listener.getsockname()[1]
        self._server = await loop.create_server(self._protocol, sock=listener, ssl=self._implicit_context())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for transport in self._transports:
            transport.abort()
        # The event loop closes the sockets in its next rounds.
        for _round in range(3):
            await asyncio.sleep(0)

    def account(self, **settings: Any) -> SmtpAccount:
        """Return the account of a client that trusts this server's certificate; `settings` are SmtpAccount's."""
        certificate = self.script.certificate if self.script is not None else None
        trusted = certificate.certificate_file if certificate is not None else None
        return SmtpAccount(**{"host": "127.0.0.1", "port": self.port, "ca_file": trusted, **settings})

    def accept(self, sender: str, recipients: list[str], raw: bytes) -> None:
        """Write a mail down, in memory and in the file, before anyone is told that it was accepted."""
        self.messages += 1
        if not self._keeps_ledger:
            return
        found = _MESSAGE_ID.search(raw)
        message_id = found[1].decode("ascii", "replace") if found else ""
        digest = sha256(raw).hexdigest()
        entries = [Accepted(time(), sender, recipient, message_id, digest, raw) for recipient in recipients]
        if self._ledger_file is None:
            self.ledger.extend(entries)
        else:
            self._ledger_file.write("".join(entry.line(self._keeps_raw) for entry in entries))
            self._ledger_file.flush()
        self.event("accepted", message_id)

    def event(self, name: str, detail: str) -> None:
        if self.on_event is not None:
            self.on_event(name, detail)

    def act(self, acts: Mapping[str, Acts], name: str) -> Act | None:
        """Return what the script wants this time; None is the usual."""
        found = acts.get(name)
        if not isinstance(found, tuple):
            return found
        turn = self._times[name]
        self._times[name] += 1
        return found[turn] if turn < len(found) else None

    def server_context(self) -> ssl.SSLContext:
        assert self.script is not None
        assert self.script.certificate is not None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.script.certificate.certificate_file, self.script.certificate.key_file)
        return context

    def _implicit_context(self) -> ssl.SSLContext | None:
        return self.server_context() if self.script is not None and self.script.is_implicit_tls else None

    def _protocol(self) -> asyncio.Protocol:
        self.connections += 1
        if self.script is None:
            return _Sink(self)
        reader = asyncio.StreamReader(limit=2**20)
        return asyncio.StreamReaderProtocol(reader, self._converse)

    def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._transports.add(writer.transport)
        task = asyncio.ensure_future(_Conversation(self, reader, writer).run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Sink(asyncio.Protocol):
    """Takes everything, as fast as Python reads it."""

    def __init__(self, mta: FakeMta):
        self._mta = mta
        self._rest = b""
        self._sender = ""
        self._recipients: list[str] = []
        self._in_content = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._mta._transports.add(self._transport)
        self._say(b"220 sink.test ESMTP\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        self._mta._transports.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        data, at, said = self._rest + data, 0, []
        while True:
            if self._in_content:
                end = at if data.startswith(b".\r\n", at) else data.find(b"\r\n.\r\n", at) + 2
                if end == 1:
                    break
                self._accept(data[at:end])
                at = end + 3
                said.append(b"250 2.0.0 taken\r\n")
            else:
                end = data.find(b"\r\n", at)
                if end < 0:
                    break
                said.append(self._answer(data[at:end]))
                at = end + 2
        self._rest = data[at:]
        if said:
            self._say(b"".join(said))

    def _answer(self, line: bytes) -> bytes:
        verb = line[:4].upper()
        if verb == b"RCPT":
            self._recipients.append(_path(line.decode()))
        elif verb == b"MAIL":
            self._sender, self._recipients = _path(line.decode()), []
        elif verb == b"DATA":
            self._in_content = True
            return b"354 go on\r\n"
        elif verb == b"EHLO":
            return _lines("250 " + "\n".join(("sink.test", *EXTENSIONS)))
        elif verb == b"QUIT":
            asyncio.get_running_loop().call_later(self._mta.latency_s + 0.001, self._transport.close)
            return b"221 2.0.0 bye\r\n"
        return b"250 2.0.0 ok\r\n"

    def _accept(self, content: bytes) -> None:
        self._in_content = False
        if b"\r\n.." in content or content.startswith(b".."):
            content = (b"\r\n" + content).replace(b"\r\n..", b"\r\n.")[2:]
        self._mta.accept(self._sender, self._recipients, content)

    def _say(self, data: bytes) -> None:
        self._mta.turns += 1
        if self._mta.latency_s:
            asyncio.get_running_loop().call_later(self._mta.latency_s, self._transport.write, data)
        else:
            self._transport.write(data)


class _Conversation:
    """One connection that follows the script."""

    def __init__(self, mta: FakeMta, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        assert mta.script is not None
        self._mta = mta
        self._script = mta.script
        self._reader = reader
        self._writer = writer
        self._sender: str | None = None
        self._recipients: list[str] = []
        self._messages = 0
        self._is_encrypted = mta.script.is_implicit_tls

    async def run(self) -> None:
        try:
            with suppress(OSError, EOFError, asyncio.LimitOverrunError, _Over):
                self._mta.event("connect", "")
                await self._say("connect", "220 fake.test ESMTP")
                while True:
                    await self._command()
        finally:
            self._writer.transport.abort()

    async def _command(self) -> None:
        line = (await self._reader.readuntil(b"\r\n"))[:-2].decode("utf-8", "replace")
        self._mta.commands.append(line)
        verb = line.split(" ")[0].lower()
        self._mta.event(verb, line)
        handler = getattr(self, f"_on_{verb}", None)
        if handler is None:
            await self._say(verb, "502 5.5.1 what?")
        else:
            await handler(line)

    async def _on_ehlo(self, line: str) -> None:
        words = ["fake.test", *self._script.extensions]
        if self._script.certificate is not None and not self._is_encrypted:
            words.append("STARTTLS")
        if self._script.logins:
            words.append("AUTH " + " ".join(self._script.auth_methods))
        await self._say("ehlo", "250 " + "\n".join(words))

    async def _on_helo(self, line: str) -> None:
        await self._say("helo", "250 fake.test")

    async def _on_starttls(self, line: str) -> None:
        if await self._say("starttls", "220 go", self._script.injected):
            await self._writer.start_tls(self._mta.server_context())
            self._is_encrypted = True

    async def _on_auth(self, line: str) -> None:
        _, method, *initial = line.split(" ")
        if method.upper() in ("XOAUTH2", "OAUTHBEARER"):
            await self._on_bearer(b64decode(initial[0]).decode())
            return
        if method.upper() == "PLAIN":
            _, user, password = b64decode(initial[0] if initial else await self._challenge("")).decode().split("\0")
        else:
            user = b64decode(initial[0] if initial else await self._challenge("VXNlcm5hbWU6")).decode()
            password = b64decode(await self._challenge("UGFzc3dvcmQ6")).decode()
        is_right = self._script.logins.get(user) == password
        await self._say("auth", "235 2.7.0 welcome" if is_right else "535 5.7.8 wrong")

    async def _on_bearer(self, words: str) -> None:
        """Take the user's token, which stands among the logins; a wrong one is told by a challenge first."""
        fields = words.removeprefix("n,a=").split("\x01")
        user, token = fields[0].removeprefix("user=").rstrip(","), words.partition("auth=Bearer ")[2].rstrip("\x01")
        if self._script.logins.get(user) == token:
            await self._say("auth", "235 2.7.0 welcome")
            return
        self._mta.commands.append(f"answered {await self._challenge('eyJzdGF0dXMiOiI0MDEifQ==')!r}")
        await self._say("auth", "535 5.7.8 wrong token")

    async def _challenge(self, text: str) -> str:
        self._writer.write(f"334 {text}\r\n".encode())
        return (await self._reader.readuntil(b"\r\n")).decode().strip()

    async def _on_mail(self, line: str) -> None:
        quota = self._script.messages_per_connection
        if quota is not None and self._messages >= quota:
            await self._send(Act(reply="421 4.7.0 enough for this connection", drop=True), "")
        elif self._sender is not None:
            await self._say("nested", "503 5.5.1 nested MAIL")
        elif await self._say("mail", "250 2.1.0 ok"):
            self._sender, self._recipients = _path(line), []

    async def _on_rcpt(self, line: str) -> None:
        recipient = _path(line)
        if self._sender is None:
            await self._say("early", "503 5.5.1 MAIL first")
            return
        act = self._mta.act(self._script.recipients, recipient) or self._mta.act(self._script.steps, "rcpt")
        if await self._send(act, "250 2.1.5 ok"):
            self._recipients.append(recipient)

    async def _on_data(self, line: str) -> None:
        act = self._mta.act(self._script.steps, "data")
        if not self._recipients and act is None:
            await self._say("early", "554 5.5.1 no valid recipients")
        elif await self._send(act, "354 go on"):
            content = await self._content()
            if not self._recipients:
                await self._say("lone_dot", "554 5.5.1 no valid recipients")
            else:
                await self._take(content)
            self._sender = None

    async def _take(self, content: bytes) -> None:
        act = self._mta.act(self._script.steps, "dot")
        self._mta.event("dot", "")
        if act is None or act.accepts:
            self._mta.accept(self._sender or "", self._recipients, content)
        self._messages += 1
        await self._send(act, "250 2.0.0 taken")
        self._mta.event("answered", "")

    async def _content(self) -> bytes:
        """Read up to CRLF.CRLF; a dot after a bare CR or LF is content."""
        act = self._mta.act(self._script.steps, "block")
        if act is not None:
            await self._reader.readexactly(1)
            self._mta.event("block", "")
            await self._send(act, "")
        lines = [b""]
        after_crlf = True
        while (line := await self._line()) != b".\r\n" or not after_crlf:
            lines.append(line[1:] if after_crlf and line.startswith(b".") else line)
            after_crlf = line.endswith(b"\r\n")
        return b"".join(lines)

    async def _line(self) -> bytes:
        if self._script.read_bytes_per_s is not None:
            self._writer.transport.pause_reading()  # type: ignore[attr-defined]
            await asyncio.sleep(1 / self._script.read_bytes_per_s)
            self._writer.transport.resume_reading()  # type: ignore[attr-defined]
        return await self._reader.readuntil(b"\n")

    async def _on_rset(self, line: str) -> None:
        self._sender = None
        await self._say("rset", "250 2.0.0 reset")

    async def _on_noop(self, line: str) -> None:
        await self._say("noop", "250 2.0.0 here")

    async def _on_quit(self, line: str) -> None:
        await self._say("quit", "221 2.0.0 bye")
        raise _Over

    async def _say(self, step: str, usual: str, appended: bytes = b"") -> bool:
        return await self._send(self._mta.act(self._script.steps, step), usual, appended)

    async def _send(self, act: Act | None, usual: str, appended: bytes = b"") -> bool:
        """Do the act, or say the usual line; return whether the client was told yes."""
        act = act or Act()
        if act.after is not None:
            await act.after.wait()
        await asyncio.sleep(act.delay_s)
        if act.silent:
            await self._reader.read()
            raise _Over
        text = act.reply or ("" if act.drop or act.reset or act.raw else usual)
        data = (act.raw or _lines(text)) + appended
        step = act.piece_bytes if act.drip_s else max(len(data), 1)
        for at in range(0, len(data), step):
            self._writer.write(data[at : at + step])
            await self._writer.drain()
            await asyncio.sleep(act.drip_s)
        if act.reset:
            self._writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
        if act.drop or act.reset:
            raise _Over
        return text[:1] in "23"


class _Over(Exception):
    """The script ends the conversation."""


def _lines(text: str) -> bytes:
    """Make a reply of the code and the lines of the text: `250 a\\nb` is `250-a`, `250 b`."""
    if not text:
        return b""
    code, _, rest = text.partition(" ")
    *first, last = rest.split("\n")
    return "".join([f"{code}-{line}\r\n" for line in first] + [f"{code} {last}\r\n"]).encode()


def _path(line: str) -> str:
    return line[line.index("<") + 1 : line.rindex(">")]


async def _main(options: argparse.Namespace) -> None:
    script = Script.from_json(options.script.read_text()) if options.script else None
    with open(options.ledger or os.devnull, "a", encoding="ascii") as ledger:
        mta = FakeMta(
            script,
            port=options.port,
            latency_s=options.latency_ms / 1000,
            keeps_ledger=options.ledger is not None,
            ledger_file=ledger,
            keeps_raw=options.raw,
            on_event=_print_event if options.events else None,
        )
        async with mta:
            over = asyncio.Event()
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, over.set)
            print(json.dumps({"port": mta.port}), flush=True)
            await over.wait()
        print(json.dumps({"messages": mta.messages, "connections": mta.connections}), flush=True)


def _print_event(name: str, detail: str) -> None:
    if name in ("dot", "accepted"):
        print(json.dumps({"event": name, "message_id": detail, "at": time()}), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--ledger", type=Path, help="a JSON line for each accepted recipient")
    parser.add_argument("--raw", action="store_true", help="keep the bytes of each mail in the ledger, base64")
    parser.add_argument("--script", type=Path, help="the fields of Script, as JSON")
    parser.add_argument("--latency-ms", type=float, default=0, help="delay each answer of the sink: a round trip")
    parser.add_argument("--events", action="store_true")
    asyncio.run(_main(parser.parse_args()))
    sys.exit(0)
