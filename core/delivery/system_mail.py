"""What the host itself has to say by mail, such as a password reset: through the queue, from its own account.

It is nobody's: no signature, no company's frame, nothing counted, and marked as written by a program (RFC 3834).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from core.delivery.mailing import format_header
from core.delivery.request import PRIORITIES
from core.delivery.servers import SYSTEM
from core.errors import UserError
from core.mail.address import parse_address
from core.mail.values import Mailbox
from core.runtime import get_model, settings


async def queue_system_mail(to: str, subject: str, body: str, *, expires_at: datetime | None = None) -> Any:
    """Queue a mail of the host to one address, in the caller's transaction; returns its Message, of kind `system`.

    `body` is HTML. UserError where the host has no address to write from.
    """
    message = get_model("Message")
    return await message.queue_email(
        None,
        [to],
        subject,
        body,
        use_company_branding=False,
        include_signature=False,
        message=message(kind="system"),
        from_email=format_header(system_sender()),
        server=SYSTEM if settings().SYSTEM_MAIL_SMTP_SERVER else None,
        automatic="auto-generated",
        track=False,
        priority=PRIORITIES["high"],
        expires_at=expires_at,
    )


def system_sender() -> Mailbox:
    """Return who system mail is from; UserError where nobody said."""
    values = settings()
    address = values.SYSTEM_MAIL_FROM or values.SMTP_FROM_EMAIL
    if not address:
        raise UserError("The host has no address to write from; set SYSTEM_MAIL_FROM in config.yaml.")
    name = values.SYSTEM_MAIL_FROM_NAME or values.SMTP_FROM_NAME
    return Mailbox(name, parse_address(address).address)
