"""What people are told of a mail's fate after it left: on its record's timeline, and its author in the application."""

from __future__ import annotations

from typing import Any

from core.events import announce, tell
from core.mail.blind import BLIND, unnamed
from core.mail.body import text_to_html
from core.orm.feed import Change
from core.orm.transaction import transaction
from core.runtime import get_model

_SUBJECT_CHARS = 998


async def tell_on_timeline(message: Any, subject: str, words: str) -> Any:
    """Add an entry under the message's record, or beside the message where it has none; returns the entry."""
    entry = await get_model("Message").create(
        kind="system",
        direction="Internal",
        res_model=message.res_model,
        res_id=message.res_id,
        parent_id=message.pk,
        company_id=message.company_id,
        subject=subject[:_SUBJECT_CHARS],
        body=text_to_html(words),
        text=words,
    )
    await tell("message_posted", message=entry)
    return entry


async def tell_author(message: Any, entry: Any) -> None:
    """Tell the author inside the application, once for each entry."""
    if message.author_id is not None:
        await get_model("Notification").get_or_create(message_id=entry.pk, user_id=message.author_id)
        await announce(Change(f"user:{message.author_id}"))


async def tell_failure(message: Any) -> None:
    """Say who did not get the message, and what was answered; one entry a message, which says the latest."""
    failed = await get_model("Delivery").filter(message_id=message.pk, state="failed").order_by("id")
    if not failed:
        return
    words = "\n".join([await _fate(delivery) for delivery in failed])
    subject = f"Not delivered: {message.subject}"[:_SUBJECT_CHARS]
    async with transaction():
        entry = await get_model("Message").filter(parent_id=message.pk, kind="system", subject=subject).first()
        if entry is None:
            entry = await tell_on_timeline(message, subject, words)
        else:
            entry.text, entry.body = words, text_to_html(words)
            await entry.save()
        await tell_author(message, entry)


async def _fate(delivery: Any) -> str:
    last = await get_model("Attempt").filter(delivery_id=delivery.pk).order_by("-id").first()
    tries = "1 try" if delivery.attempts <= 1 else f"{delivery.attempts} tries"
    words = f"{delivery.recipient} did not get it, after {tries}: {last.reply if last else 'nothing was answered'}"
    return unnamed(words, delivery.recipient) if delivery.kind == BLIND else words
