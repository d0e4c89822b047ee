"""The connection test of an outgoing server: each step tried, timed and told in words, nothing sent."""

from __future__ import annotations

import re
from dataclasses import replace

from core.mail.retry import Phase
from core.transport.smtp_account import SmtpAccount
from core.transport.smtp_open import open_session
from core.transport.smtp_reply import SmtpError
from core.transport.smtp_session import Envelope, SmtpSession
from core.transport.step import Step, StepLog

_HINTS: tuple[tuple[Phase, str, str], ...] = (
    (Phase.CONNECT, "no public address", "Use a mail server on the Internet, or ask an administrator."),
    (Phase.CONNECT, "refused", "Check the port: 587 and 465 are usual, and many networks block 25."),
    (Phase.CONNECT, "in time|unreachable|route", "Check host and port; a firewall may stand between, and many networks "
     "block port 25: try 587 or 465."),
    (Phase.CONNECT, "", "Check how the host name is spelt, and that this machine can look names up."),
    (Phase.GREETING, r": [45]\d\d ", "The server does not want this machine's address; ask its operator, and see "
     "whether the address is on a block list."),
    (Phase.GREETING, "", "It may want TLS at once: try port 465, or TLS implicit. Or this is no mail server."),
    (Phase.EHLO, "", "Ask the server's operator; the name that we introduce ourselves by may be unwelcome."),
    (Phase.TLS, "self.signed|issuer|unable to get", "The certificate comes from no authority that this machine knows. "
     "Install its authority here, or accept any certificate for this server alone."),
    (Phase.TLS, "mismatch|not valid for", "Use the host name that stands on the certificate."),
    (Phase.TLS, "expired|not yet", "The server's certificate has ended; its operator must renew it. Check this "
     "machine's clock too."),
    (Phase.TLS, "not offer STARTTLS", "Try port 465 with TLS implicit, or 587. Where there is no TLS, no password is "
     "sent; somebody on the way may also have taken the offer out."),
    (Phase.TLS, "not sent without TLS", "Set TLS to automatic: a password in the clear is everybody's."),
    (Phase.TLS, "", "TLS implicit belongs to port 465, STARTTLS to 587 and 25; the server may be too old for TLS 1.2."),
    (Phase.AUTH, "sign in|signed in|sign-in", "Sign in at the provider again."),
    (Phase.AUTH, "asked for a token|answered", "Look at the sign-in's client id, secret and scopes."),
    (Phase.AUTH, "no login method", "Choose another way to log in: Gmail and Microsoft 365 want a sign-in (OAuth 2)."),
    (Phase.AUTH, r": (534|535|530|538) ", "Check username and password. Gmail and Microsoft 365 want a sign-in "
     "(OAuth 2) or an app password in place of the mailbox's own."),
    (Phase.AUTH, "", "Wait a little: servers lock an account for a while after several logins."),
    (Phase.MAIL, "", "The server does not let this login write as this sender; use the mailbox's own address, or let "
     "the operator allow it."),
    (Phase.RCPT, "", "The server does not pass mail on to this recipient for us: it may ask for a login first."),
)  # fmt: skip


async def test_connection(account: SmtpAccount, envelope: Envelope | None = None) -> tuple[Step, ...]:  # noqa: PT028
    """Try DNS, TCP, TLS, EHLO and AUTH, and with an `envelope` MAIL and RCPT without DATA; stop at the first failure.

    The server's faults are told in the steps, with a hint at what to do, never raised.
    """
    log = StepLog()
    try:
        session = await open_session(account, log)
        try:
            if envelope is not None:
                await _probe(session, envelope, log)
        finally:
            await session.quit()
    except SmtpError as error:
        _tell(log, error)
    return tuple(log.steps)


# A test by name only; pytest must not collect it where it is imported.
test_connection.__test__ = False  # type: ignore[attr-defined]


def hint_for(error: SmtpError) -> str:
    """Say what to do about a failure."""
    said = str(error)
    fitting = (hint for phase, words, hint in _HINTS if phase is error.phase and re.search(words, said, re.IGNORECASE))
    return next(fitting, "")


def _tell(log: StepLog, error: SmtpError) -> None:
    """Hint at the failed step; what was decided between two steps is one of its own."""
    if not log.steps or log.steps[-1].ok:
        log.steps.append(Step(error.phase.upper(), ok=False, detail=str(error), duration_ms=0))
    log.steps[-1] = replace(log.steps[-1], hint=hint_for(error))


async def _probe(session: SmtpSession, envelope: Envelope, log: StepLog) -> None:
    with log.step("MAIL, RCPT") as detail:
        answer = await session.probe(envelope)
        for index, recipient in enumerate(envelope.recipients):
            refusal = answer.refusal(index)
            if refusal is not None:
                phase, reply = refusal
                raise SmtpError(phase, str(session.account), f"{recipient} was refused", reply)
            detail.append(f"{recipient}: {answer.recipients[index]}")
