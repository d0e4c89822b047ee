"""What follows from a bounce, a complaint and their like: one way for provider webhooks and for delivery reports.

Each event is stored once. What is proven marks the delivery and its message, tells the author and the addons, and may
suppress the address; what anybody could have written is shown, and changes nothing else (SECURITY I9).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tortoise.expressions import F

from core import clock
from core.delivery.story import tell_author, tell_on_timeline
from core.delivery.suppression import EVERY_LIST, suppress
from core.events import announce, is_heard, note, tell
from core.idempotency import earlier_outcome
from core.mail.address import normalised
from core.mail.blind import BLIND, unnamed
from core.mail.provider_events import UNPROVEN, EventKind, ProviderEvent, words_of
from core.mail.return_path import Origin, read_return_tag
from core.mail.suppression import Reason
from core.mail.thread import alias_of
from core.orm.feed import Change
from core.orm.transaction import transaction
from core.runtime import get_model, runtime, settings

_RECIPIENT_CHARS = 320
_STATUS_CHARS = 16
_ERROR_CHARS = 2000
_LOST = frozenset({EventKind.BOUNCED, EventKind.DROPPED})
_NOTED = frozenset({EventKind.DELIVERED, EventKind.DEFERRED, EventKind.COMPLAINED, EventKind.UNSUBSCRIBED})
_WITH_EFFECT = _LOST | {EventKind.COMPLAINED, EventKind.UNSUBSCRIBED, EventKind.READ}


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of events: how many are new, were known already, or belong to no mail of ours."""

    new: int = 0
    known: int = 0
    unmatched: int = 0


@dataclass(frozen=True, slots=True)
class _Copy:
    """The delivery that an event is about."""

    id: int
    message_id: int
    recipient: str
    kind: str


async def take(
    events: Sequence[ProviderEvent], *, of: Origin | None = None, proven: bool = True, entry: Any = None
) -> Taken:
    """Store events and do what follows from those that are new, in the running transaction or in one of its own.

    `of` says whose they are, where the way they came by says so. `proven` false: anybody could have written them.
    `entry` is the timeline entry that tells of them, where there is one already.
    """
    unique = {event.key: event for event in events}
    async with transaction():
        copies = await _copies(list(unique.values()), of)
        fresh = await _stored([(event, copies.get(event.key)) for event in unique.values()], proven=proven)
        found = [(event, copies[event.key]) for event in fresh if event.key in copies]
        if proven:
            await _note(found)
        by_message: dict[int, list[tuple[ProviderEvent, _Copy]]] = {}
        for event, copy in found:
            if event.kind in _WITH_EFFECT:
                by_message.setdefault(copy.message_id, []).append((event, copy))
        for message in await get_model("Message").filter(id__in=list(by_message)):
            await _apply(message, by_message[message.pk], proven=proven, entry=entry)
    return Taken(len(fresh), len(unique) - len(fresh), len(fresh) - len(found))


async def take_once(events: Sequence[ProviderEvent], replay_id: str, fingerprint: str) -> Taken:
    """Take the events of a signed call; the same call again does nothing, KeyMismatch where its body is another."""
    async with transaction():
        if await earlier_outcome("webhook", replay_id, fingerprint) is not None:
            return Taken(known=len(events))
        return await take(events)


async def _note(found: Sequence[tuple[ProviderEvent, _Copy]]) -> None:
    """Write down which webhooks are to be told of what no addon is; bounces are told to both alike."""
    told = [(event, copy) for event, copy in found if event.kind in _NOTED]
    if told and await is_heard(*(f"message_{event.kind}" for event, _ in told)):
        messages = {
            one.pk: one for one in await get_model("Message").filter(id__in=[copy.message_id for _, copy in told])
        }
        for event, copy in told:
            if copy.message_id in messages:
                await note(f"message_{event.kind}", message=messages[copy.message_id], report=event)


# Whose event it is.


async def _copies(events: Sequence[ProviderEvent], of: Origin | None) -> dict[str, _Copy]:
    """Return the delivery of each event that belongs to one of ours, by its key."""
    origins = {event.key: origin for event in events if (origin := of or _origin_of(event))}
    candidates = await _candidates([event for event in events if event.key not in origins])
    message_ids = {origin.message_id for origin in origins.values()} | {
        one for ids in candidates.values() for one in ids
    }
    rows = await get_model("Delivery").filter(message_id__in=list(message_ids)).values_list(
        "id", "message_id", "recipient", "kind"
    )  # fmt: skip
    copies = [_Copy(*row) for row in rows]
    by_recipient = {(copy.message_id, normalised(copy.recipient)): copy for copy in copies}
    by_id = {(copy.message_id, copy.id): copy for copy in copies}
    found: dict[str, _Copy] = {}
    for event in events:
        origin = origins.get(event.key)
        ids = (origin.message_id,) if origin else candidates.get(event.key, ())
        if origin is not None and origin.delivery_id is not None:
            # A return path of one recipient alone says who that was, whomever the report names: the address that it was
            # forwarded to, or, written by that recipient, another one's.
            copy = by_id.get((origin.message_id, origin.delivery_id))
        else:
            copy = next((one for name in ids if (one := by_recipient.get((name, normalised(event.recipient))))), None)
        if copy is not None:
            found[event.key] = copy
    return found


def _origin_of(event: ProviderEvent) -> Origin | None:
    alias, tag = alias_of(event.return_path)
    return read_return_tag(settings().secret_keys, tag) if alias == settings().BOUNCE_ALIAS.lower() else None


async def _candidates(events: Sequence[ProviderEvent]) -> dict[str, tuple[int, ...]]:
    """Return the messages that each event may be about, the likeliest first."""
    by_remote: dict[str, list[int]] = {}
    remote_ids = {event.remote_id for event in events} - {""}
    rows: Iterable[tuple[str, int]] = []
    if remote_ids:
        rows = await get_model("Delivery").filter(remote_id__in=list(remote_ids)).values_list("remote_id", "message_id")
    for remote_id, message_id in rows:
        by_remote.setdefault(remote_id, []).append(message_id)
    by_token = await _messages("tracking_identifier", {event.tracking_id for event in events} - {""})
    by_header = await _messages("message_id", {event.message_id for event in events} - {""})
    return {
        event.key: (
            *by_remote.get(event.remote_id, ()),
            *by_token.get(event.tracking_id, ()),
            *by_header.get(event.message_id, ()),
        )
        for event in events
    }


async def _messages(column: str, values: set[str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    if values:
        rows = get_model("Message").filter(direction="Outbound", **{f"{column}__in": list(values)})
        for value, message_id in await rows.values_list(column, "id"):
            found.setdefault(value, []).append(message_id)
    return found


# What follows.


async def _stored(told: Sequence[tuple[ProviderEvent, _Copy | None]], *, proven: bool) -> list[ProviderEvent]:
    """Store the events and return those that are new."""
    database = runtime().database
    dialect = database.dialect
    columns = (
        "key, kind, provider, recipient, delivery_id, hard, proven, status, reason, url, told_at, created_at, settled"
    )
    params = ", ".join(map(dialect.param, range(1, 14)))
    now = dialect.time(clock.now())
    fresh: list[ProviderEvent] = []
    for event, copy in told:
        added = await database.fetch(
            f"INSERT INTO mail_event ({columns}) VALUES ({params}) ON CONFLICT (key) DO NOTHING RETURNING id",
            [
                event.key,
                event.kind.value,
                event.provider,
                normalised(event.recipient)[:_RECIPIENT_CHARS],
                copy and copy.id,
                event.hard,
                proven,
                event.status[:_STATUS_CHARS],
                event.reason,
                event.url,
                event.at and dialect.time(event.at),
                now,
                False,
            ],
        )
        fresh += [event] if added else []
    return fresh


async def _apply(message: Any, told: Sequence[tuple[ProviderEvent, _Copy]], *, proven: bool, entry: Any) -> None:
    now = clock.now()
    words = "\n".join(_told(event, copy, proven=proven) for event, copy in told)
    if not proven:
        words += f"\n{UNPROVEN}"
    for event, copy in told:
        await _mark(event, copy, now, proven=proven)
        if proven:
            await _suppress(event, copy, message.unsubscribe_list or EVERY_LIST, now)
    if any(event.kind in _LOST for event, _ in told):
        await get_model("Message").filter(id=message.pk, bounced_at=None).update(bounced_at=now)
        await get_model("Message").filter(id=message.pk).update(error=words[:_ERROR_CHARS])
        await announce(Change("queue", ("Bounced",), company_id=message.company_id))
    entry = entry or await tell_on_timeline(message, f"About: {message.subject}", words)
    if any(event.kind is not EventKind.READ for event, _ in told):
        await tell_author(message, entry)
    if proven:
        for event, _ in told:
            if event.kind in _LOST:
                await tell("message_bounced", message=message, report=event)


def _told(event: ProviderEvent, copy: _Copy, *, proven: bool) -> str:
    words = words_of(event, copy.recipient, proven=proven)
    return unnamed(words, copy.recipient, event.recipient) if copy.kind == BLIND else words


async def _mark(event: ProviderEvent, copy: _Copy, now: datetime, *, proven: bool) -> None:
    """Write it at the recipient; a soft bounce never softens a hard one, and a later event never undoes one."""
    deliveries = get_model("Delivery").filter(id=copy.id)
    if event.kind in _LOST:
        await deliveries.filter(bounced_at=None).update(bounced_at=now)
        if proven:
            await (deliveries if event.hard else deliveries.filter(bounce_kind="")).update(
                bounce_kind="hard" if event.hard else "soft"
            )
    elif event.kind is EventKind.COMPLAINED and proven:
        await deliveries.filter(complained_at=None).update(complained_at=now)
    elif event.kind is EventKind.READ:
        await _mark_read(copy, now)


async def _mark_read(copy: _Copy, now: datetime) -> None:
    """Count it as one opening, unless an earlier one was seen; whoever got the mail may say that it was read."""
    message = get_model("Message").filter(id=copy.message_id)
    if not await get_model("Delivery").filter(id=copy.id, open_count=0).update(open_count=1):
        return
    await get_model("Delivery").filter(id=copy.id, opened_at=None).update(opened_at=now)
    await message.update(open_count=F("open_count") + 1)
    if await message.filter(opened_at=None).update(opened_at=now):
        await tell("message_opened", message=await message.get())


async def _suppress(event: ProviderEvent, copy: _Copy, of_list: str, now: datetime) -> None:
    until: datetime | None = None
    if event.kind in _LOST and event.hard:
        reason = Reason.HARD_BOUNCE
    elif event.kind is EventKind.COMPLAINED:
        reason = Reason.COMPLAINT
    elif event.kind is EventKind.UNSUBSCRIBED:
        reason = Reason.UNSUBSCRIBE
    elif event.kind is EventKind.BOUNCED and await _bounces_too_often(event, now):
        reason, until = Reason.SOFT_BOUNCE, now + timedelta(days=settings().SOFT_BOUNCE_PAUSE_DAYS)
    else:
        return
    scope = of_list if reason is Reason.UNSUBSCRIBE else ""
    await suppress(
        copy.recipient, reason=reason, list=scope, source=event.provider, note=event.reason, expires_at=until
    )


async def _bounces_too_often(event: ProviderEvent, now: datetime) -> bool:
    """Whether so many different mails to the address bounced lately that it is left alone for a while."""
    counted = get_model("MailEvent").filter(
        recipient=normalised(event.recipient)[:_RECIPIENT_CHARS],
        kind=EventKind.BOUNCED.value,
        delivery_id__isnull=False,
        proven=True,
        settled=False,
        created_at__gte=now - timedelta(days=settings().SOFT_BOUNCE_DAYS),
    )
    most = settings().SOFT_BOUNCES
    bounced: list[int] = await counted.distinct().limit(most).values_list("delivery_id", flat=True)
    return len(bounced) >= most
