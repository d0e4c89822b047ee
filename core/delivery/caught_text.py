"""Texts in the dev mailbox: what a channel would have sent, kept as a mail that any of its pages can show."""

from __future__ import annotations

import json
from email import policy
from email.message import EmailMessage
from typing import Any

from core.delivery.channel import ChannelMessage, ChannelResult
from core.runtime import get_model

_SUBJECT_CHARS = 80


async def keep_text(channel: str, message: ChannelMessage) -> ChannelResult:
    """Keep a text as a CaughtEmail."""
    delivery = await get_model("Delivery").get_or_none(id=int(message.reference))
    caught = await get_model("CaughtEmail").create(
        channel=channel,
        sender=message.sender,
        recipients=[message.recipient],
        subject=_subject(message),
        raw_mail=_as_mail(channel, message),
        message_id=delivery.message_id if delivery else None,
    )
    return ChannelResult.sent(f"dev{caught.pk}", "Kept in the dev mailbox")


def _subject(message: ChannelMessage) -> str:
    return " ".join(message.text.split())[:_SUBJECT_CHARS]


def _as_mail(channel: str, message: ChannelMessage) -> bytes:
    mail = EmailMessage(policy=policy.SMTP)
    mail["Subject"] = _subject(message)
    mail["X-Postroom-Channel"] = channel
    mail["X-Postroom-From"] = message.sender
    mail["X-Postroom-To"] = message.recipient
    mail["X-Postroom-Reference"] = message.reference
    if message.options:
        mail["X-Postroom-Options"] = _plain(message.options)
    mail.set_content(message.text, cte="base64")
    return mail.as_bytes()


def _plain(options: Any) -> str:
    return json.dumps(dict(options))
