"""Where to fetch mail and as whom, and the errors of doing it, whichever protocol it is: one server's settings.

Holds the password and never shows it. Refuses what could be read as a second command (CR, LF, NUL in host or login).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Self

from core.errors import ConfigError, TransportError
from core.pattern import pattern
from core.transport.oauth import TokenSource
from core.transport.peer import PeerPolicy
from core.transport.sasl import repeats_a_secret
from core.transport.smtp_reply import printable
from core.transport.tls import Tls

_CONTROL = pattern(r"[\x00-\x1f\x7f]")
_NOT_IN_A_HOST = pattern(r"[\x00-\x20\x7f]")
_SHOWN_CHARACTERS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxAccount:
    """An incoming mail server and our login there.

    `timeout_s` is the total time of each step, however slowly its bytes trickle in; fetching gets more by the size of
    what it fetches. `ca_file` is a PEM file trusted besides the system's authorities. `verify` False accepts any
    certificate. A `token` source logs in in the place of the password. `peers` says where a host that a user named may
    be; None is anywhere.
    """

    protocol: ClassVar[str]
    implicit_tls_port: ClassVar[int]

    host: str
    port: int
    tls: Tls = Tls.AUTO
    username: str
    password: str = field(default="", repr=False)
    token: TokenSource | None = None
    verify: bool = True
    ca_file: Path | None = None
    timeout_s: float = 60
    peers: PeerPolicy | None = None

    def __post_init__(self) -> None:
        if not self.host or _NOT_IN_A_HOST.search(self.host):
            raise ConfigError(f"{self.protocol} host {self.host!r} is not a host name or address.")
        if not 0 < self.port < 65536:
            raise ConfigError(f"{self.protocol} port {self.port} of {self.host} is not between 1 and 65535.")
        if not self.username or _CONTROL.search(self.username) or _CONTROL.search(self.password):
            raise ConfigError(f"The login for {self.host} is empty or contains a control character.")

    @property
    def is_implicit_tls(self) -> bool:
        return self.tls is Tls.IMPLICIT or (self.tls is Tls.AUTO and self.port == self.implicit_tls_port)

    def reached_by(self, peers: PeerPolicy) -> Self:
        """Return this account, to be connected to under a policy."""
        return replace(self, peers=peers)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class MailboxError(TransportError):
    """A session with a mailbox is over: `step` says at what, `host` is "name:port".

    `server_text` is what the server said to it, printable and capped, and may be empty.
    """

    code = "mailbox"

    def __init__(self, step: str, host: str, reason: str, server_text: bytes = b""):
        self.step = step
        self.host = host
        self.reason = reason
        self.server_text = printable(server_text[: 4 * _SHOWN_CHARACTERS])[:_SHOWN_CHARACTERS]
        super().__init__(f"{host}, at {step}: {reason}" + (f": {self.server_text}" if self.server_text else ""))


class LoginRefused(MailboxError):
    """The server knows the account and refused the login; trying again changes nothing, new credentials may."""

    code = "mailbox_login"


def without_secrets(raw: bytes, *secrets: str) -> bytes:
    """Return a server's words to a login, or a remark in their place where they repeat a secret of ours."""
    return b"(not shown: the server repeats the password)" if repeats_a_secret(raw, secrets) else raw
