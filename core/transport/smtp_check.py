"""The connection test of an outgoing server: each step tried, timed and told in words, nothing sent."""

from __future__ import annotations

from contextlib import suppress

from core.transport.smtp_account import SmtpAccount
from core.transport.smtp_open import open_session
from core.transport.smtp_reply import SmtpError
from core.transport.smtp_session import Envelope, SmtpSession
from core.transport.step import Step, StepLog


async def test_connection(account: SmtpAccount, envelope: Envelope | None = None) -> tuple[Step, ...]:  # noqa: PT028
    """Try DNS, TCP, TLS, EHLO and AUTH, and with an `envelope` MAIL and RCPT without DATA; stop at the first failure.

    The server's faults are told in the steps, never raised.
    """
    log = StepLog()
    with suppress(SmtpError):
        session = await open_session(account, log)
        try:
            if envelope is not None:
                await _probe(session, envelope, log)
        finally:
            await session.quit()
    return tuple(log.steps)


# A test by name only; pytest must not collect it where it is imported.
test_connection.__test__ = False  # type: ignore[attr-defined]


async def _probe(session: SmtpSession, envelope: Envelope, log: StepLog) -> None:
    with log.step("MAIL, RCPT") as detail:
        answer = await session.probe(envelope)
        for index, recipient in enumerate(envelope.recipients):
            refusal = answer.refusal(index)
            if refusal is not None:
                phase, reply = refusal
                raise SmtpError(phase, str(session.account), f"{recipient} was refused", reply)
            detail.append(f"{recipient}: {answer.recipients[index]}")
