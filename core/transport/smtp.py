"""Sending mail by SMTP: the names that the rest of the house uses.

    async with SmtpPool(account) as pool, pool.session() as session:
        reply = await session.begin(Envelope(sender, recipients, len(content)))
        if reply.is_open:
            answer = await session.content(content)

A lane of many mails passes `following` to `content` and then awaits `begun()`: one round trip per mail.
"""

from core.transport.smtp_account import SmtpAccount, Timeouts
from core.transport.smtp_check import test_connection
from core.transport.smtp_open import open_session
from core.transport.smtp_pool import PoolLimits, SmtpPool
from core.transport.smtp_reply import SmtpError, SmtpReply
from core.transport.smtp_session import Envelope, EnvelopeReply, Features, SmtpSession
from core.transport.step import Step
from core.transport.tls import Tls

__all__ = [
    "Envelope",
    "EnvelopeReply",
    "Features",
    "PoolLimits",
    "SmtpAccount",
    "SmtpError",
    "SmtpPool",
    "SmtpReply",
    "SmtpSession",
    "Step",
    "Timeouts",
    "Tls",
    "open_session",
    "test_connection",
]
