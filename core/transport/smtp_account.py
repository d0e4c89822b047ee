"""Where to send mail and as whom: one outgoing server's settings, as a value.

Holds the password and never shows it. Refuses what could be read as a second command (CR, LF, NUL in host or user).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from core.errors import ConfigError
from core.pattern import pattern
from core.transport.oauth import TokenSource
from core.transport.peer import PeerPolicy
from core.transport.tls import Tls

IMPLICIT_TLS_PORT = 465
_NOT_IN_A_NAME = pattern(r"[\x00-\x20\x7f]")
_NOT_IN_A_LOGIN = pattern(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Total seconds for each step, however slowly its bytes trickle in (RFC 5321 section 4.5.3.2)."""

    connect_s: float = 30
    """DNS and TCP together, over all the host's addresses."""
    greeting_s: float = 60
    tls_s: float = 30
    command_s: float = 120
    """From a command to the end of its reply."""
    content_s: float = 180
    """For the network to take each 64 KiB of content: a reader slower than that is given up."""
    answer_s: float = 600
    """From the final dot to its reply; giving up earlier turns slow acceptances into doubtful ones."""
    quit_s: float = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpAccount:
    """An outgoing mail server and our login there; `username` empty means no AUTH.

    `local_hostname` is what EHLO says, by default the address literal of our end of the connection. `ca_file` is a PEM
    file trusted besides the system's authorities. `verify` False accepts any certificate. A `token` source logs in in
    the place of the password. `peers` says where a host that a user named may be; None is anywhere.
    """

    host: str
    port: int = 25
    tls: Tls = Tls.AUTO
    username: str = ""
    password: str = field(default="", repr=False)
    token: TokenSource | None = None
    verify: bool = True
    ca_file: Path | None = None
    local_hostname: str = ""
    timeouts: Timeouts = Timeouts()
    peers: PeerPolicy | None = None

    def __post_init__(self) -> None:
        if not self.host or _NOT_IN_A_NAME.search(self.host):
            raise ConfigError(f"SMTP host {self.host!r} is not a host name or address.")
        if not 0 < self.port < 65536:
            raise ConfigError(f"SMTP port {self.port} of {self.host} is not between 1 and 65535.")
        if not self.local_hostname.isascii() or _NOT_IN_A_NAME.search(self.local_hostname):
            raise ConfigError(f"The local host name {self.local_hostname!r} for {self.host} must be plain ASCII.")
        if _NOT_IN_A_LOGIN.search(self.username) or _NOT_IN_A_LOGIN.search(self.password):
            raise ConfigError(f"The login for {self.host} contains a control character.")
        if self.token is not None and not self.username:
            raise ConfigError(f"The sign-in for {self.host} needs the username that it logs in as.")

    @property
    def is_implicit_tls(self) -> bool:
        return self.tls is Tls.IMPLICIT or (self.tls is Tls.AUTO and self.port == IMPLICIT_TLS_PORT)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"
