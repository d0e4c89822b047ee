"""What an SMTP server answered, and the one error of this client (RFC 5321 section 4.2, RFC 2034 and 3463).

A reply's text is a stranger's: it is shown without control characters, and the wire refuses it beyond 64 KiB.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property

from core.errors import TransportError
from core.mail.retry import Phase
from core.pattern import pattern

_ENHANCED = pattern(rb"[245]\.\d{1,3}\.\d{1,3}(?= |$)", re.MULTILINE)
_CONTROLS = pattern(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
_SHOWN_CHARACTERS = 500
"""How much of a reply an error's message quotes; the whole stays in `SmtpError.reply`."""


@dataclass(frozen=True)
class SmtpReply:
    """One reply; `raw` is what follows the code, lines joined by LF. `local` ones are ours: nothing was sent.

    What is read out of it is kept, as most servers answer with the same words each time.
    """

    code: int
    raw: bytes
    local: bool = field(default=False, kw_only=True)

    @cached_property
    def ok(self) -> bool:
        return 200 <= self.code < 300

    @cached_property
    def enhanced(self) -> str | None:
        """The enhanced status code, `5.1.1`, where the server gives one."""
        match = _ENHANCED.match(self.raw)
        return match[0].decode("ascii") if match else None

    @cached_property
    def text(self) -> str:
        """The text of all lines, decoded, without control characters, fit to be shown."""
        return printable(self.raw)

    @cached_property
    def words(self) -> str:
        """The code and the text."""
        return f"{self.code} {self.text}"

    def __str__(self) -> str:
        return self.words


class SmtpError(TransportError):
    """A connection that is over, and how far it came.

    `phase` CONTENT means that the final dot is, or may be, on the wire. `reply_code` None means that there was no
    valid reply: the link was lost, a deadline passed, or the answer broke the protocol. `reply` is the reply's text,
    printable, and may be empty. `host` is "name:port".
    """

    code = "smtp"

    def __init__(self, phase: Phase, host: str, reason: str, reply: SmtpReply | None = None):
        self.phase = phase
        self.host = host
        self.reason = reason
        self.reply_code = reply.code if reply else None
        self.enhanced = reply.enhanced if reply else None
        self.reply = reply.text if reply else ""
        said = f": {reply.code} {self.reply[:_SHOWN_CHARACTERS]}" if reply else ""
        super().__init__(f"{host}, at {phase}: {reason}{said}")


def printable(raw: bytes) -> str:
    """Decode bytes of a stranger for display; each run of control or direction-changing characters is one space."""
    text = raw.decode("utf-8", "replace")
    return (text if text.isprintable() else _CONTROLS.sub(" ", text)).strip()
