"""What to do about a mailbox that cannot be fetched from: a hint for each failure that operators really meet."""

from __future__ import annotations

import re
from dataclasses import replace

from core.transport.mailbox_account import MailboxError
from core.transport.step import Step, StepLog

_HINTS: tuple[tuple[str, str, str], ...] = (
    ("connect", "no public address", "Use a mail server on the Internet, or ask an administrator."),
    ("connect", "refused", "Check the port: IMAP is on 993 (TLS) or 143, POP3 on 995 (TLS) or 110."),
    ("connect", "in time|unreachable|route", "Check host and port; a firewall may stand between."),
    ("connect", "", "Check how the host name is spelt, and that this machine can look names up."),
    ("greeting", "takes no sessions|too many|limit", "The server has too many sessions of this mailbox or machine; "
     "close other mail programs, or wait."),
    ("greeting", "", "It may want TLS at once: set TLS to implicit (993 or 995). Or this is no such mail server."),
    ("tls", "self.signed|issuer|unable to get", "The certificate comes from no authority that this machine knows. "
     "Install its authority here, or accept any certificate for this server alone."),
    ("tls", "mismatch|not valid for", "Use the host name that stands on the certificate."),
    ("tls", "expired|not yet", "The server's certificate has ended; its operator must renew it. Check this machine's "
     "clock too."),
    ("tls", "", "TLS implicit belongs to ports 993 and 995, STARTTLS to 143 and 110; the server may be too old for "
     "TLS 1.2."),
    ("starttls", "", "Use port 993 or 995 with TLS implicit. Without TLS no password is sent."),
    ("login", "in-use|lock", "Another program has the mailbox open: POP3 allows one at a time. It is tried again."),
    ("login", "not encrypted", "Set TLS to automatic: a password in the clear is everybody's."),
    ("login", "sign in|signed in|sign-in of", "Sign in at the provider again: the button is on the page Servers."),
    ("login", "asked for a token|answered", "Look at the sign-in's client id, secret and scopes."),
    ("login", "no login by sign-in", "Log in by password: this server takes no sign-in (OAuth 2)."),
    ("login", "no login by password", "Choose a sign-in (OAuth 2): this server takes no password."),
    ("login", "refused", "Check username and password, and that IMAP or POP3 is allowed for this mailbox. Gmail and "
     "Microsoft 365 want a sign-in (OAuth 2), or Gmail an app password."),
    ("login", "", "Wait a little: servers lock a mailbox for a while after several logins."),
    ("select", "does not open", "Name the folder as `postroom inbound folders` shows it."),
    ("select", "", "The server does not say which mails are which; fetch from it by POP3, or tell its operator."),
    ("move", "", "Make that folder in the mailbox, or name one that `postroom inbound folders` shows."),
    ("delete", "", "This login may not delete there; choose to mark mail as seen instead."),
    ("store", "", "This login may not mark mail there; choose to keep it as it is."),
    ("", "broke the protocol|more than it was asked", "The server sent nonsense. It is tried again; where one "
     "mail does that each time, it is left there and told of."),
    ("", "no answer within|closed the connection|connection failed|ended the session", "The server or the network was "
     "slow or went away. It is tried again by itself."),
)  # fmt: skip


def hint_for(error: BaseException) -> str:
    """Say what to do about a failure; empty where nothing is known."""
    if not isinstance(error, MailboxError):
        return ""
    said = str(error)
    fitting = (
        hint for step, words, hint in _HINTS if step in ("", error.step) and re.search(words, said, re.IGNORECASE)
    )
    return next(fitting, "")


def tell(log: StepLog, error: MailboxError) -> None:
    """Hint at the failed step of a connection test; what failed between two steps is one of its own."""
    if not log.steps or log.steps[-1].ok:
        log.steps.append(Step(error.step, ok=False, detail=str(error), duration_ms=0))
    log.steps[-1] = replace(log.steps[-1], hint=hint_for(error))
