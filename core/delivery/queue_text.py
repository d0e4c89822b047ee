"""Queueing for channels beside e-mail: a text for one or several addresses, in the caller's transaction.

What is sent is fixed here: the text, its options and the recipients in the channel's one form of an address.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Any, TypedDict

from core import clock
from core.delivery.channel import channel_named
from core.delivery.engine import TOPIC
from core.delivery.policy import retry_schedule
from core.delivery.queue import insert_deliveries
from core.delivery.request import check_entry, check_times
from core.errors import UserError
from core.events import announce, ring
from core.idempotency import earlier_outcome, keep_outcome, scope_of
from core.mail.address import header_text
from core.mail.body import text_to_html
from core.mail.words import clean_text
from core.orm.feed import Change
from core.orm.transaction import transaction
from core.runtime import get_model, runtime, settings

_KEY_SCOPE = "queue_text"
_SUBJECT_CHARS = 80
_SENDER_CHARS = 64


class TextOptions(TypedDict, total=False):
    """What may be asked of the queue beside the text. Times are aware."""

    message: Any
    """A Message of a timeline that becomes the send job; otherwise one is made."""
    company: Any
    """Whose provider sends; the author's company by default."""
    scheduled_at: datetime | None
    expires_at: datetime | None
    """Not sent any more from then on."""
    priority: int
    on_unknown: str | None
    """"retry" or "hold" after a try whose outcome nobody knows."""
    sender: str
    """The number or name that it comes from, where the provider lets us choose."""
    options: Mapping[str, Any]
    """What the channel's provider understands beside the text, such as WhatsApp's `template`."""
    idempotency_key: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRequest:
    """What is asked of the queue; see `TextOptions`."""

    channel: str
    author: Any
    to: tuple[str, ...]
    text: str
    message: Any = None
    company: Any = None
    scheduled_at: datetime | None = None
    expires_at: datetime | None = None
    priority: int = 10
    on_unknown: str | None = None
    sender: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    idempotency_key: str | None = None


async def queue_text(request: TextRequest) -> Any:
    """Store the message and its deliveries; returns the Message, an earlier one where the idempotency key has one."""
    recipients, scope = _checked(request), scope_of(_KEY_SCOPE)
    async with transaction():
        if request.idempotency_key is None:
            return await _store(request, recipients)
        earlier = await earlier_outcome(scope, request.idempotency_key, _fingerprint(request, recipients))
        if earlier is None:
            message = await _store(request, recipients)
            await keep_outcome(scope, request.idempotency_key, {"message_id": message.pk})
            return message
    return await get_model("Message").get(id=earlier["message_id"])


def _checked(request: TextRequest) -> list[str]:
    """Return each recipient once; AddressError or UserError for what cannot be sent."""
    channel = channel_named(request.channel)
    if not request.text.strip():
        raise UserError("There is no text yet; write something first.")
    if len(request.text) > channel.max_chars:
        raise UserError(
            f"The text has {len(request.text)} characters, and {channel.title} takes {channel.max_chars}; shorten it."
        )
    check_times(scheduled_at=request.scheduled_at, expires_at=request.expires_at)
    recipients = list(dict.fromkeys(map(channel.address, request.to)))
    if not recipients:
        raise UserError(f"The message has no recipient; give at least one address for {channel.title}.")
    if len(recipients) > settings().MAX_RECIPIENTS:
        raise UserError(f"The message has {len(recipients)} recipients; MAX_RECIPIENTS is {settings().MAX_RECIPIENTS}.")
    return recipients


async def _store(request: TextRequest, recipients: list[str]) -> Any:
    message = request.message or get_model("Message")(kind="message")
    check_entry(message)
    if message.send_state not in (None, "Draft"):
        raise UserError(f"Message {message.pk} is {message.send_state} already; use action_retry to send it again.")
    is_stored = message.pk is not None
    await _fill(message, request, recipients)
    await message.save()
    if is_stored:
        await get_model("Message").filter(id=message.pk).update(send_state="Queued", error="")
    due_at = runtime().database.dialect.time(request.scheduled_at) if request.scheduled_at else None
    await insert_deliveries(message.pk, [(one, "to", request.priority, due_at, 0.0) for one in recipients])
    await ring(TOPIC)
    await announce(Change("queue", ("Queued",), company_id=message.company_id))
    return message


async def _fill(message: Any, request: TextRequest, recipients: list[str]) -> None:
    text = clean_text(request.text)
    author = request.author if hasattr(request.author, "contact_id") else None
    message.channel = request.channel
    message.direction = "Outbound"
    message.author = author
    message.company_id = (
        getattr(request.company, "pk", None) or message.company_id or getattr(author, "company_id", None)
    )
    message.email_from = header_text(request.sender)[:_SENDER_CHARS]
    message.email_to = recipients
    message.subject = " ".join(text.split())[:_SUBJECT_CHARS]
    message.body = f"<p>{text_to_html(text)}</p>"
    message.text = text
    message.date_at = clock.now().replace(microsecond=0)
    message.send_state = "Queued"
    message.scheduled_at = request.scheduled_at
    message.expires_at = request.expires_at
    message.max_retries = retry_schedule(request.priority).max_retries
    message.priority = request.priority
    message.on_unknown = request.on_unknown or message.on_unknown
    # Each recipient is asked for alone, and may leave this channel and no other.
    message.individual = True
    message.unsubscribe_list = request.channel
    message.presentation = {"options": dict(request.options)} if request.options else {}


def _fingerprint(request: TextRequest, recipients: list[str]) -> str:
    keys = [getattr(one, "pk", None) for one in (request.author, request.company, request.message)]
    times = [request.scheduled_at, request.expires_at]
    asked = [request.channel, recipients, request.text, request.sender, dict(request.options), keys, times]
    said = json.dumps([*asked, request.priority, request.on_unknown], sort_keys=True, default=str)
    return blake2b(said.encode(), digest_size=32).hexdigest()
