"""Where to fetch mail and as whom, and the errors of doing it: one incoming server's settings, as a value.

Holds the password and never shows it. Refuses what could be read as a second command (CR, LF, NUL in host or login).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import ConfigError, TransportError
from core.transport.imap_names import CONTROL
from core.transport.smtp_reply import printable
from core.transport.tls import Tls

IMPLICIT_TLS_PORT = 993
_NOT_IN_A_HOST = re.compile(r"[\x00-\x20\x7f]")
_SHOWN_CHARACTERS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class ImapAccount:
    """An incoming mail server and our login there.

    `timeout_s` is the total time of each step, however slowly its bytes trickle in; fetching gets more by the size of
    what it fetches. `ca_file` is a PEM file trusted besides the system's authorities. `verify` False accepts any
    certificate.
    """

    host: str
    port: int = IMPLICIT_TLS_PORT
    tls: Tls = Tls.AUTO
    username: str
    password: str = field(repr=False)
    verify: bool = True
    ca_file: Path | None = None
    timeout_s: float = 60

    def __post_init__(self) -> None:
        if not self.host or _NOT_IN_A_HOST.search(self.host):
            raise ConfigError(f"IMAP host {self.host!r} is not a host name or address.")
        if not 0 < self.port < 65536:
            raise ConfigError(f"IMAP port {self.port} of {self.host} is not between 1 and 65535.")
        if not self.username or CONTROL.search(self.username) or CONTROL.search(self.password):
            raise ConfigError(f"The login for {self.host} is empty or contains a control character.")

    @property
    def is_implicit_tls(self) -> bool:
        return self.tls is Tls.IMPLICIT or (self.tls is Tls.AUTO and self.port == IMPLICIT_TLS_PORT)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class ImapError(TransportError):
    """A session with a mailbox is over: `step` says at what, `host` is "name:port".

    `server_text` is what the server said to it, printable and capped, and may be empty.
    """

    code = "imap"

    def __init__(self, step: str, host: str, reason: str, server_text: bytes = b""):
        self.step = step
        self.host = host
        self.reason = reason
        self.server_text = printable(server_text[: 4 * _SHOWN_CHARACTERS])[:_SHOWN_CHARACTERS]
        super().__init__(f"{host}, at {step}: {reason}" + (f": {self.server_text}" if self.server_text else ""))


class ImapAuthenticationError(ImapError):
    """The server knows the account and refused the login; trying again changes nothing, new credentials may."""

    code = "imap_authentication"
