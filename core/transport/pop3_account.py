"""A POP3 account, and the errors of a session with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from core.transport.mailbox_account import LoginRefused, MailboxAccount, MailboxError


@dataclass(frozen=True, slots=True, kw_only=True)
class Pop3Account(MailboxAccount):
    """A POP3 server and our login there."""

    protocol: ClassVar[str] = "POP3"
    implicit_tls_port: ClassVar[int] = 995

    port: int = 995


class Pop3Error(MailboxError):
    """A session with a POP3 mailbox is over; what was to be deleted in it is still there."""

    code = "pop3"


class Pop3AuthenticationError(Pop3Error, LoginRefused):
    """The server refused the login."""

    code = "pop3_authentication"
