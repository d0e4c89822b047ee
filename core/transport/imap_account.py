"""An IMAP account, and the errors of a session with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from core.transport.mailbox_account import LoginRefused, MailboxAccount, MailboxError


@dataclass(frozen=True, slots=True, kw_only=True)
class ImapAccount(MailboxAccount):
    """An IMAP server and our login there."""

    protocol: ClassVar[str] = "IMAP"
    implicit_tls_port: ClassVar[int] = 993

    port: int = 993


class ImapError(MailboxError):
    """A session with an IMAP mailbox is over."""

    code = "imap"


class ImapAuthenticationError(ImapError, LoginRefused):
    """The server refused the login."""

    code = "imap_authentication"
