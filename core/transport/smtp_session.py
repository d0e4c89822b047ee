"""One connection to an SMTP server, on which mails follow each other in one round trip each (RFC 5321, RFC 2920).

The envelope of the next mail travels with the content of this one; its content waits for this one's reply, so that at
most one mail per connection is ever in doubt. Never sends a part of a mail that could be taken for a whole one.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from io import IncrementalNewlineDecoder
from typing import NamedTuple

from core.errors import AddressError
from core.mail.retry import Phase
from core.pattern import pattern
from core.transport.smtp_account import SmtpAccount
from core.transport.smtp_reply import SmtpError, SmtpReply
from core.transport.smtp_wire import SmtpWire

BLOCK_BYTES = 65536
_DOT_AT_LINE_START = pattern(rb"\n\.")
_NOT_IN_AN_ADDRESS = pattern(r"[\s\x00-\x1f\x7f-\x9f<>\ud800-\udfff]")


@dataclass(slots=True)
class Envelope:
    """Who a mail is from and goes to on the wire; an empty `sender` is the null sender `<>`.

    `size` is the content's length in bytes. `smtputf8` says that the headers need RFC 6531; a non-ASCII address asks
    for it by itself. `eight_bit` says that the body has bytes over 127 (RFC 6152). Domains are already IDNA where
    needed. Raises AddressError for an address that could be read as more than an address.
    """

    sender: str
    recipients: tuple[str, ...]
    size: int
    smtputf8: bool = False
    eight_bit: bool = False
    needs_smtputf8: bool = field(init=False)

    def __post_init__(self) -> None:
        if not self.recipients or "" in self.recipients:
            raise AddressError("An envelope needs at least one recipient, and none of them empty.")
        addresses = "".join((self.sender, *self.recipients))
        if _NOT_IN_AN_ADDRESS.search(addresses):
            wrong = next(filter(_NOT_IN_AN_ADDRESS.search, (self.sender, *self.recipients)))
            raise AddressError(f"{wrong!r} contains a space, bracket or control character; it is not sent.")
        self.needs_smtputf8 = self.smtputf8 or not addresses.isascii()


class EnvelopeReply(NamedTuple):
    """The server's word on an envelope. `recipients` is empty if the server was not asked, `data` None likewise.

    `is_open` means that the content of this mail may, and must, now be sent, or the connection be given up.
    """

    is_open: bool
    mail: SmtpReply
    recipients: tuple[SmtpReply, ...] = ()
    data: SmtpReply | None = None

    def refusal(self, index: int) -> tuple[Phase, SmtpReply] | None:
        """Return at which phase, and with what reply, the recipient at `index` was refused; None if accepted so far."""
        if not self.mail.ok:
            return Phase.MAIL, self.mail
        if not self.recipients[index].ok:
            return Phase.RCPT, self.recipients[index]
        if not self.is_open and self.data is not None:
            return Phase.DATA, self.data
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """What EHLO offered; `size_bytes` None is no stated limit."""

    pipelining: bool = False
    eight_bit: bool = False
    smtputf8: bool = False
    has_size: bool = False
    size_bytes: int | None = None
    words: tuple[str, ...] = ()

    @classmethod
    def of(cls, extensions: dict[str, str]) -> Features:
        """Read lower-case keywords and their parameters; `SIZE` without a number, or 0, is no limit (RFC 1870)."""
        size = extensions.get("size", "").strip()
        return cls(
            pipelining="pipelining" in extensions,
            eight_bit="8bitmime" in extensions,
            smtputf8="smtputf8" in extensions,
            has_size="size" in extensions,
            size_bytes=(int(size) or None) if size.isascii() and size.isdigit() else None,
            words=tuple(f"{word.upper()} {value}".strip() for word, value in extensions.items()),
        )


class SmtpSession:
    """A logged-in connection, for one task at a time. After any SmtpError or cancellation it is closed.

    The lane of a sender is `begin(first)`, then for each mail: if the reply `is_open`, `content(data, following)`;
    then `begun()` if there was a following. `phase` tells at any time, also after a cancellation, how far it came.
    """

    def __init__(self, wire: SmtpWire, account: SmtpAccount, features: Features, tls: str = ""):
        self.account = account
        self.features = features
        self.tls = tls
        """Version and cipher, `TLSv1.3 TLS_AES_256_GCM_SHA384`, or empty."""
        self.messages = 0
        """How many contents were answered on this connection."""
        self._wire = wire
        self._announced: Envelope | None = None
        self._asked: Envelope | None = None
        """The announced envelope as the server is told it: without recipients that it cannot take."""
        self._local_refusal: SmtpReply | None = None
        self._is_open = False
        self._is_reset_due = False
        self._is_busy = False

    @property
    def phase(self) -> Phase:
        return self._wire.phase

    @property
    def is_usable(self) -> bool:
        """Whether a new envelope may begin: connected, between mails, and nothing unasked-for was said."""
        wire = self._wire
        return wire.fault is None and not (wire.replies or self._is_open or self._announced or self._is_busy)

    async def begin(self, envelope: Envelope) -> EnvelopeReply:
        """Open a mail: MAIL, RCPT and DATA, in one write where the server offers PIPELINING."""
        with self._step(not (self._is_open or self._announced)):
            self._require_silence(Phase.MAIL)
            self._wire.write(self._announce(envelope), Phase.MAIL)
            return await self._begun()

    async def content(self, data: bytes, following: Envelope | None = None) -> SmtpReply:
        """Send the content of the open mail, and with it the envelope of the `following`; return the answer to the dot.

        Its `ok` is the only sign of acceptance, for all accepted recipients. `data` has CRLF line ends; others are made
        so. Dots are stuffed here. Raises SmtpError: at DATA, the mail was certainly not taken; at CONTENT without a
        code, nobody can know.
        """
        with self._step(self._is_open):
            await self._write(_stuffed(data), following)
            self._is_open = False
            reply = await self._wire.reply(Phase.CONTENT, self.account.timeouts.answer_s)
            self.messages += 1
            return reply

    async def begun(self) -> EnvelopeReply:
        """Return the server's word on the envelope that followed the last content."""
        with self._step(self._announced is not None):
            return await self._begun()

    async def probe(self, envelope: Envelope) -> EnvelopeReply:
        """Ask for MAIL and RCPT only, then take them back by RSET: nothing is sent."""
        with self._step(not (self._is_open or self._announced)):
            asked = self._takeable(envelope)
            local = self._unsendable(asked)
            if local:
                return EnvelopeReply(False, local)
            mail, replies = await self._ask_envelope(asked)
            await self._ask(Phase.MAIL, b"RSET\r\n")
            return self._for_all(EnvelopeReply(False, mail, replies), envelope, asked)

    async def noop(self) -> bool:
        """Return whether the server still answers; for a connection that was left alone for a while."""
        if not self.is_usable:
            return False
        with suppress(SmtpError), self._step():
            return (await self._ask(Phase.MAIL, b"NOOP\r\n")).ok
        return False

    def abandon(self) -> None:
        """Give up a mail that is open or announced: only closing the connection leaves nothing behind."""
        if self._is_open or self._announced is not None:
            self.close()

    async def quit(self) -> None:
        """Say goodbye and close; never raises, for no mail depends on it."""
        try:
            if self.is_usable:
                with suppress(SmtpError):
                    self._wire.write(b"QUIT\r\n", Phase.QUIT)
                    await self._wire.reply(Phase.QUIT, self.account.timeouts.quit_s)
        finally:
            self.close()
        await self._wire.wait_closed()

    def close(self) -> None:
        """Close at once; what was not yet taken by the network is never sent."""
        self._wire.abort()

    # Opening a mail.

    def _announce(self, envelope: Envelope) -> bytes:
        """Take the envelope as the next one; return what may be written for it ahead of any reply."""
        self._announced = envelope
        self._asked = asked = self._takeable(envelope)
        self._local_refusal = self._unsendable(asked)
        if self._local_refusal or not self.features.pipelining:
            return b""
        recipients = b"".join([_rcpt(recipient) for recipient in asked.recipients])
        reset = b"RSET\r\n" if self._is_reset_due else b""
        return reset + self._mail(asked) + recipients + b"DATA\r\n"

    async def _begun(self) -> EnvelopeReply:
        assert self._announced is not None
        assert self._asked is not None
        envelope, asked, self._announced = self._announced, self._asked, None
        if self._local_refusal:
            return EnvelopeReply(False, self._local_refusal)
        if self.features.pipelining:
            reply = await self._hear_envelope(asked)
        else:
            reply = await self._walk_envelope(asked)
        self._is_reset_due = not reply.is_open
        self._is_open = reply.is_open
        return self._for_all(reply, envelope, asked)

    async def _hear_envelope(self, envelope: Envelope) -> EnvelopeReply:
        """Collect the replies to an envelope that was written in one go, DATA included."""
        wire, seconds = self._wire, self.account.timeouts.command_s
        if self._is_reset_due:
            await wire.reply(Phase.MAIL, seconds)
        mail = await wire.reply(Phase.MAIL, seconds)
        # As a rule they come together, and to wait for what is there takes as long as reading it.
        recipients = tuple(
            [
                wire.taken(Phase.RCPT) if wire.replies else await wire.reply(Phase.RCPT, seconds)
                for _ in envelope.recipients
            ]
        )
        data = wire.taken(Phase.DATA) if wire.replies else await wire.reply(Phase.DATA, seconds)
        accepted = any(recipient.ok for recipient in recipients)
        if data.code == 354 and not accepted:
            # Nobody would get it, yet the server waits for content: a lone dot ends that (RFC 2920 section 3.1).
            await self._ask(Phase.RCPT, b".\r\n")
        elif data.code == 354 and not mail.ok:
            raise self._wire.error(f"it broke the protocol: it took recipients after it refused the sender ({mail})")
        return EnvelopeReply(accepted and data.code == 354, mail, recipients, data)

    async def _walk_envelope(self, envelope: Envelope) -> EnvelopeReply:
        """Ask step by step, and stop where going on is pointless."""
        if self._is_reset_due:
            await self._ask(Phase.MAIL, b"RSET\r\n")
        mail, recipients = await self._ask_envelope(envelope)
        if not any(recipient.ok for recipient in recipients):
            return EnvelopeReply(False, mail, recipients)
        data = await self._ask(Phase.DATA, b"DATA\r\n")
        return EnvelopeReply(data.code == 354, mail, recipients, data)

    async def _ask_envelope(self, envelope: Envelope) -> tuple[SmtpReply, tuple[SmtpReply, ...]]:
        mail = await self._ask(Phase.MAIL, self._mail(envelope))
        if not mail.ok:
            return mail, ()
        return mail, tuple([await self._ask(Phase.RCPT, _rcpt(recipient)) for recipient in envelope.recipients])

    async def _ask(self, phase: Phase, command: bytes) -> SmtpReply:
        self._wire.write(command, phase)
        return await self._wire.reply(phase, self.account.timeouts.command_s)

    def _mail(self, envelope: Envelope) -> bytes:
        features = self.features
        size = f" SIZE={envelope.size}" if features.has_size else ""
        body = " BODY=8BITMIME" if envelope.eight_bit else ""
        utf8 = " SMTPUTF8" if envelope.needs_smtputf8 else ""
        return f"MAIL FROM:<{envelope.sender}>{size}{body}{utf8}\r\n".encode()

    def _takeable(self, envelope: Envelope) -> Envelope:
        """Leave out recipients beyond ASCII where the server takes none, so that they do not cost the others theirs.

        Headers beyond ASCII are everyone's: such a mail goes to such a server not at all (RFC 6531 section 3.2).
        """
        if self.features.smtputf8 or not envelope.needs_smtputf8:
            return envelope
        plain = tuple(filter(str.isascii, envelope.recipients))
        is_splittable = not envelope.smtputf8 and envelope.sender.isascii()
        return replace(envelope, recipients=plain) if is_splittable and plain else envelope

    def _for_all(self, reply: EnvelopeReply, envelope: Envelope, asked: Envelope) -> EnvelopeReply:
        """Return the reply for all recipients of an envelope, of which the server was asked for some only."""
        if len(asked.recipients) == len(envelope.recipients) or not reply.recipients:
            return reply
        answers = iter(reply.recipients)
        recipients = tuple(next(answers) if one.isascii() else self._no_utf8() for one in envelope.recipients)
        return reply._replace(recipients=recipients)

    def _no_utf8(self) -> SmtpReply:
        words = f"5.6.7 The addresses or headers need SMTPUTF8, which {self.account.host} does not offer."
        return SmtpReply(553, words.encode(), local=True)

    def _unsendable(self, envelope: Envelope) -> SmtpReply | None:
        """Return our own refusal of what this server cannot take, by what it said in EHLO."""
        features = self.features
        if features.size_bytes is not None and envelope.size > features.size_bytes:
            words = f"5.3.4 The message has {envelope.size} bytes; {self.account.host} takes {features.size_bytes}."
            return SmtpReply(552, words.encode(), local=True)
        if envelope.needs_smtputf8 and not features.smtputf8:
            return self._no_utf8()
        if envelope.eight_bit and not features.eight_bit:
            words = f"5.6.3 The body has 8-bit bytes, and {self.account.host} does not offer 8BITMIME."
            return SmtpReply(554, words.encode(), local=True)
        return None

    # Sending its content.

    async def _write(self, content: bytes, following: Envelope | None) -> None:
        """Write the content block by block, and the last one with the dot and the following envelope in one go."""
        at = 0
        if len(content) > BLOCK_BYTES:
            view = memoryview(content)
            while len(content) - at > BLOCK_BYTES:
                self._require_silence(Phase.DATA)
                self._wire.write(view[at : at + BLOCK_BYTES], Phase.DATA)
                await self._wire.drained(self.account.timeouts.content_s)
                at += BLOCK_BYTES
        self._require_silence(Phase.DATA)
        ahead = self._announce(following) if following else b""
        self._wire.write(content[at:] + ahead, Phase.CONTENT)

    def _require_silence(self, phase: Phase) -> None:
        """Raise if the server is gone or spoke out of turn; while it takes content, a refusal is about this mail."""
        wire = self._wire
        if not wire.replies:
            return wire.require_open(phase)
        wire.phase = phase
        reply = wire.replies.popleft()
        is_about_this_mail = reply.code == 421 or (phase is Phase.DATA and reply.code >= 400)
        raise wire.error(
            "the server broke in" if is_about_this_mail else f"it broke the protocol: {reply} out of turn",
            reply if is_about_this_mail else None,
        )

    def _step(self, is_its_turn: bool = True) -> _Step:
        if self._is_busy or not is_its_turn:
            raise RuntimeError("An SMTP session serves one task, and one mail after the other.")
        return _Step(self)


class _Step:
    """One step of the conversation; if it does not end well, neither does the connection."""

    __slots__ = ("_session",)

    def __init__(self, session: SmtpSession):
        self._session = session

    def __enter__(self) -> None:
        self._session._is_busy = True

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._session._is_busy = False
        if kind is not None:
            self._session.close()


def _rcpt(recipient: str) -> bytes:
    return f"RCPT TO:<{recipient}>\r\n".encode()


def _stuffed(data: bytes) -> bytes:
    """Return the content as it goes on the wire: only CRLF, dots doubled at line starts, and the final dot.

    The decoder, which is thrown away, tells which line ends there are in one pass; counting them takes four.
    """
    line_ends = IncrementalNewlineDecoder(None, translate=False)
    line_ends.decode(str(data, "latin-1"), final=True)
    if line_ends.newlines not in (None, "\r\n"):
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    if _DOT_AT_LINE_START.search(data):
        data = data.replace(b"\n.", b"\n..")
    if data.startswith(b"."):
        data = b"." + data
    return data + (b".\r\n" if data.endswith(b"\r\n") or not data else b"\r\n.\r\n")
