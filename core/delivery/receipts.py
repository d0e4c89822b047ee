"""News of messages that a provider took: delivered, read or failed after all, and answers that came back.

News may come twice, in any order, before our own result is stored, or for a message whose outcome nobody knew: a
receipt is kept once, and what it means is worked out from all receipts of the message each time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from core import clock
from core.delivery.results import note_finished, roll_up, tell_finished
from core.delivery.suppression import suppress, unsuppress
from core.errors import AddressError
from core.events import tell
from core.mail.body import text_to_html
from core.mail.words import clean_text
from core.orm.transaction import transaction
from core.runtime import get_model, runtime

log = structlog.get_logger(__name__)

RECEIPT_STATES = ("accepted", "delivered", "read", "failed")
_STOP = frozenset({"stop", "stopall", "unsubscribe", "stopp", "arret", "arrêt", "parar"})
_START = frozenset({"start", "unstop"})
_SUBJECT_CHARS = 80
_TEXT_CHARS = 20_000
_WORDS_CHARS = 1_000
_ID_CHARS = 180
_SENDER_CHARS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptNews:
    """What a provider told of one message: `state` is one of RECEIPT_STATES.

    `reference` is ours (`ChannelMessage.reference`), where the provider gives it back; `remote_id` is its own.
    """

    state: str
    remote_id: str = ""
    reference: str = ""
    at: datetime | None = None
    words: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedText:
    """A message that came in: `sender` in the channel's one form of an address."""

    sender: str
    text: str
    remote_id: str
    at: datetime | None = None


def remote_name(provider: str, remote_id: str) -> str:
    """Return what `Delivery.remote_id` holds: the provider's key, and what it calls the message."""
    return f"{provider}/{clean_text(remote_id)[:_ID_CHARS]}" if remote_id else ""


async def take_receipts(provider: str, told: Sequence[ReceiptNews]) -> int:
    """Keep what the provider with this key (`sms:3`) told, and return how much of it was new."""
    fresh = 0
    async with transaction():
        ids: set[int] = set()
        for news in told:
            delivery_id = await _delivery_of(provider, news)
            if await _keep(provider, news, delivery_id):
                fresh += 1
                ids |= {delivery_id} if delivery_id is not None else set()
        await _apply(sorted(ids))
    return fresh


async def settle_receipts(provider: str, doubtful: Sequence[int] = ()) -> None:
    """Give receipts that came before our own results their deliveries.

    `doubtful` are deliveries whose try ended unknown: a receipt may have told of it while it was on its way.
    """
    waiting = (
        await get_model("Receipt").filter(provider=provider, delivery_id=None).exclude(state="received").limit(500)
    )
    by_name = {f"{provider}/{one.remote_id}": one for one in waiting}
    if not by_name and not doubtful:
        return
    async with transaction():
        found = await get_model("Delivery").filter(remote_id__in=list(by_name)).values_list("id", "remote_id")
        for delivery_id, name in found:
            remote_id = by_name[name].remote_id
            ours = get_model("Receipt").filter(provider=provider, remote_id=remote_id, delivery_id=None)
            await ours.update(delivery_id=delivery_id)
        await _apply(sorted({*doubtful, *(delivery_id for delivery_id, _ in found)}))


async def _delivery_of(provider: str, news: ReceiptNews) -> int | None:
    """Return whose news it is. A provider speaks only of what was, or may have been, sent through it."""
    deliveries = get_model("Delivery").filter(message__channel=provider.partition(":")[0])
    if news.remote_id:
        known = await deliveries.filter(remote_id=remote_name(provider, news.remote_id)).first()
        if known is not None:
            return int(known.pk)
    if not news.reference.isdecimal() or len(news.reference) > 18:
        return None
    meant = await deliveries.get_or_none(id=int(news.reference))
    if meant is None or (meant.begun_at is None and not meant.attempts):
        return None
    if meant.remote_id is None or not meant.remote_id.startswith(f"{provider}/"):
        named = remote_name(provider, news.remote_id or news.reference)
        if meant.state == "sent" and meant.remote_id is not None:
            return None
        await get_model("Delivery").filter(id=meant.pk).update(remote_id=named)
    return int(meant.pk)


async def _keep(provider: str, news: ReceiptNews, delivery_id: int | None) -> bool:
    """Store a receipt; False where it was stored before."""
    database = runtime().database
    dialect = database.dialect
    places = ", ".join(map(dialect.param, range(1, 8)))
    rows = await database.fetch(
        f"""INSERT INTO receipt (provider, remote_id, delivery_id, state, at, words, created_at) VALUES ({places})
            ON CONFLICT (provider, remote_id, state) DO NOTHING RETURNING id""",
        [
            provider,
            clean_text(news.remote_id or news.reference)[:_ID_CHARS],
            delivery_id,
            news.state,
            dialect.time(news.at or clock.now()),
            clean_text(news.words)[:_WORDS_CHARS],
            dialect.time(clock.now()),
        ],
    )
    return bool(rows)


# The last word on a message: delivered or read outweighs failed, and failed outweighs accepted. Only receipts of the
# try that the delivery now stands for count; one of an earlier try says nothing of the next.
_TOLD = """EXISTS (SELECT 1 FROM receipt WHERE receipt.delivery_id = delivery.id AND receipt.state IN ({states})
                   AND receipt.provider || '/' || receipt.remote_id = delivery.remote_id)"""
_ARRIVED = _TOLD.format(states="'delivered', 'read'")
_TAKEN = _TOLD.format(states="'accepted', 'delivered', 'read'")
_FAILED = _TOLD.format(states="'failed'")


async def _apply(ids: Sequence[int]) -> None:
    """Make deliveries say what their receipts say, and their messages too."""
    if not ids:
        return
    database = runtime().database
    dialect = database.dialect
    among, params = dialect.among("id", dialect.param(1)), [dialect.ids(ids)]
    # Of two calls at once the later one must see what the earlier one told.
    lock = "FOR NO KEY UPDATE" if dialect.skip_locked else ""
    await database.fetch(f"SELECT id FROM delivery WHERE {among} ORDER BY id {lock}", params)
    free = "lease_token = NULL, lease_until = NULL"
    sent = await database.fetch(
        f"""UPDATE delivery SET state = 'sent', {free} WHERE {among}
            AND ((state = 'failed' AND {_ARRIVED}) OR (state IN ('queued', 'claimed', 'unknown') AND {_TAKEN}
                  AND NOT ({_FAILED} AND NOT {_ARRIVED}))) RETURNING message_id""",
        params,
    )
    failed = await database.fetch(
        f"""UPDATE delivery SET state = 'failed', {free} WHERE {among}
            AND state IN ('sent', 'unknown') AND {_FAILED} AND NOT {_ARRIVED} RETURNING id, message_id, recipient""",
        params,
    )
    words = {row["message_id"]: f"{row['recipient']}: {await _failure(row['id'])}" for row in failed}
    changed = sorted({row["message_id"] for row in (*sent, *failed)})
    if changed:
        await roll_up(changed, words)
        final = get_model("Message").filter(id__in=changed, send_state__in=("Sent", "Failed"), next_retry_at=None)
        finished = await final.values_list("id", "send_state")
        await note_finished(finished)
        await tell_finished(finished)


async def _failure(delivery_id: int) -> str:
    news = await get_model("Receipt").filter(delivery_id=delivery_id, state="failed").order_by("-id").first()
    return (news.words if news else "") or "The provider could not deliver it."


# Answers.


async def receive_text(provider: str, text: ReceivedText) -> Any:
    """Put a message that came in on the timeline where its sender was last written to, and return it.

    None where it came before. Without such a record it is kept by itself and the administrators are told. STOP and
    START end and renew the sender's consent, here as at the provider.
    """
    channel = provider.partition(":")[0]
    async with transaction():
        news = ReceiptNews(state="received", remote_id=text.remote_id, at=text.at)
        if not await _keep(provider, news, None):
            return None
        await _heed(provider, channel, text)
        sender = clean_text(text.sender)[:_SENDER_CHARS]
        last = await _last_message_to(channel, sender)
        body = clean_text(text.text)[:_TEXT_CHARS]
        message = await get_model("Message").create(
            kind="message",
            direction="Inbound",
            channel=channel,
            email_from=sender,
            author_contact=await _contact_of(last),
            company_id=getattr(last, "company_id", None),
            parent=last,
            res_model=getattr(last, "res_model", None),
            res_id=getattr(last, "res_id", None),
            subject=" ".join(body.split())[:_SUBJECT_CHARS],
            body=f"<p>{text_to_html(body)}</p>",
            text=body,
            date_at=text.at or clock.now(),
        )
        await _tell(message)
    return message


async def _heed(provider: str, channel: str, text: ReceivedText) -> None:
    """Do what a recipient asks for in one word; who is no number, such as a short code, is never written to."""
    word = text.text.strip().strip(".!").casefold()
    with contextlib.suppress(AddressError):
        if word in _STOP:
            said = f"answered {text.text.strip()[:20]}"
            await suppress(text.sender, list=channel, reason="unsubscribe", source=provider, note=said)
        elif word in _START:
            await unsuppress(text.sender, list=channel, reason="unsubscribe")


async def _last_message_to(channel: str, address: str) -> Any:
    delivery = (
        await get_model("Delivery")
        .filter(recipient=address, message__channel=channel, begun_at__isnull=False)
        .order_by("-id")
        .first()
        .prefetch_related("message")
    )
    return delivery.message if delivery else None


async def _contact_of(message: Any) -> Any:
    """Return whom the record is discussed with, where the message went to that person alone."""
    if message is None or message.res_model is None or len(message.email_to) != 1:
        return None
    record = await get_model(message.res_model).get_or_none(id=message.res_id)
    return await record._collaborate_contact() if hasattr(record, "_collaborate_contact") else None


async def _tell(message: Any) -> None:
    if message.res_model is None:
        await get_model("Notification").tell_admins(
            "A message waits for a person",
            f"A message from {message.email_from} answers nothing that was written to it. It is message {message.pk}.",
        )
        return
    record = await get_model(message.res_model).get_or_none(id=message.res_id)
    if record is not None:
        await record._notify(message, None)
    await tell("message_posted", message=message)
