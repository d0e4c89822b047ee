"""Outgoing mail as a program asks for it: which messages, which copies, and what became of each and why.

What a user may not see is not there: other companies' mail, mail of records that are not theirs, and blind copies for
all but their sender. However long a page is, it takes the same few statements.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from tortoise.expressions import Q, Subquery
from tortoise.query_utils import Prefetch

from core.access import Access, Right
from core.errors import UnknownName
from core.mail.blind import BLIND
from core.runtime import get_model
from core.web.entries import find_entry, visible_entries

ACTIONS_FROM = {
    "retry": ("failed", "unknown", "cancelled", "held"),
    "hold": ("queued",),
    "release": ("held",),
    "cancel": ("queued", "held", "unknown"),
    "send": ("queued", "held"),
}
"""What can be done about a message, and the states of its copies of which one must be there for it."""
MOST_TRIES = 200


class State(StrEnum):
    """How a message stands; a waiting retry and a bounce have words of their own."""

    DRAFT = "draft"
    HELD = "held"
    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
    RETRYING = "retrying"
    BOUNCED = "bounced"


def state_of(message: Any) -> State:
    """Return how a message stands, as people are told."""
    if message.bounced_at:
        return State.BOUNCED
    if message.retry_count and message.next_retry_at:
        return State.RETRYING
    return State(message.send_state.lower())


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which messages are asked for: those that fit all of it. `recipient` is an address, `server` a server's name."""

    state: State | None = None
    server: str | None = None
    recipient: str | None = None
    template: str | None = None
    model: str | None = None
    record_id: int | None = None
    since: datetime | None = None
    until: datetime | None = None


def wanted_messages(access: Access, wanted: Wanted, right: Right = Right.READ) -> Any:
    """Return the query of the outbound messages that are asked for and that the user has a right on."""
    rows = access.records("Message", right).filter(direction="Outbound", send_state__isnull=False)
    if not access.is_internal:  # As `Access.sees` says it.
        rows = rows.exclude(~Q(author_id=access.user_id), send_state="Draft")
    given = {
        "res_model": wanted.model,
        "res_id": wanted.record_id,
        "template": wanted.template,
        "created_at__gte": wanted.since,
        "created_at__lt": wanted.until,
    }
    rows = rows.filter(**{name: value for name, value in given.items() if value is not None})
    if wanted.state is not None:
        rows = rows.filter(_in_state(wanted.state))
    if wanted.recipient is not None:
        rows = rows.filter(id__in=Subquery(_copies_to(access, wanted.recipient).values("message_id")))
    if wanted.server is not None:
        tries = get_model("Attempt").filter(server=wanted.server)
        rows = rows.filter(id__in=Subquery(tries.values("delivery__message_id")))
    return rows


def _in_state(state: State) -> Q:
    if state is State.BOUNCED:
        return Q(bounced_at__isnull=False)
    if state is State.RETRYING:
        return Q(send_state="Failed", next_retry_at__isnull=False)
    return Q(send_state=state.value.capitalize())


def _copies_to(access: Access, recipient: str) -> Any:
    rows = get_model("Delivery").filter(recipient__iexact=recipient)
    return rows if access.is_admin else rows.filter(~Q(kind=BLIND) | Q(message__author_id=access.user_id))


async def page_of_messages(
    access: Access, wanted: Wanted, last_id: int | None, limit: int
) -> tuple[list[Any], int | None]:
    """Return a page of messages, newest first, and the id that the next one begins behind; None at the end.

    A page may be short: what belongs to records that the user may not read is left out.
    """
    rows = wanted_messages(access, wanted)
    if last_id is not None:
        rows = rows.filter(id__lt=last_id)
    found = await rows.order_by("-id").limit(limit + 1).only(*COLUMNS)
    page = found[:limit]
    return await visible_entries(access, page), page[-1].pk if len(found) > limit else None


COLUMNS = (
    *("id", "send_state", "channel", "kind", "subject", "email_from", "email_to", "email_cc", "res_model", "res_id"),
    *("template", "priority", "retry_count", "next_retry_at", "scheduled_at", "expires_at", "created_at", "sent_at"),
    *("bounced_at", "error", "author_id", "company_id", "message_id"),
)
"""What a list tells of a message: not its body."""


async def page_of_copies(
    access: Access, asked: Mapping[str, Any], last_id: int | None, limit: int
) -> tuple[list[Any], int | None]:
    """Return a page of deliveries with their messages, newest first; `asked` are conditions, None for any.

    Further as `page_of_messages`.
    """
    rows = get_model("Delivery").filter(message_id__in=Subquery(access.records("Message").values("id")))
    if not access.is_admin:
        rows = rows.filter(~Q(kind=BLIND) | Q(message__author_id=access.user_id))
    given = {**asked, "id__lt": last_id}
    rows = rows.filter(**{name: value for name, value in given.items() if value is not None})
    found = (
        await rows.order_by("-id")
        .limit(limit + 1)
        .prefetch_related(Prefetch("message", get_model("Message").all().only(*COLUMNS)))
    )
    page = found[:limit]
    messages = {row.message_id: row.message for row in page}
    seen = {one.pk for one in await visible_entries(access, list(messages.values()))}
    return [row for row in page if row.message_id in seen], page[-1].pk if len(found) > limit else None


@dataclass(frozen=True, slots=True)
class Story:
    """A message, its copies that the user may see, and each one's tries and reports."""

    message: Any
    copies: tuple[Any, ...]
    tries: dict[int, list[Any]]
    reports: dict[int, list[Any]]
    stopped: str
    """Why nothing is sent at all; empty while mail is sent."""


async def story_of(access: Access, message_id: int) -> Story:
    """Return all that is known of an outbound message; UnknownName where it is none, or not for this user."""
    message = await find_mail(access, message_id)
    sees_blind = access.is_admin or message.author_id == access.user_id
    copies = sorted((one for one in message.deliveries if one.kind != BLIND or sees_blind), key=lambda one: one.pk)
    ids = [one.pk for one in copies]
    tries = await get_model("Attempt").filter(delivery_id__in=ids).order_by("-id").limit(MOST_TRIES)
    reports = await get_model("MailEvent").filter(delivery_id__in=ids).order_by("-id").limit(MOST_TRIES)
    stopped = await get_model("QueueSuspension").what_stops()
    return Story(message, tuple(copies), _by_copy(tries), _by_copy(reports), stopped)


async def find_mail(access: Access, message_id: int, right: Right | None = None) -> Any:
    """Return an outbound message that the user may see; further as `find_entry`."""
    message = await find_entry(access, message_id, right)
    if message.direction != "Outbound" or message.send_state is None:
        raise UnknownName(f"Message {message_id} is no outgoing mail.")
    return message


def actions_for(access: Access, message: Any, copies: Iterable[Any]) -> list[str]:
    """Return what the user can do about a message now."""
    if not access.may("Message", Right.WRITE):
        return []
    states = {one.state for one in copies}
    return [action for action, wanted in ACTIONS_FROM.items() if states.intersection(wanted)]


def _by_copy(rows: Iterable[Any]) -> dict[int, list[Any]]:
    """Return rows by delivery, the oldest first."""
    found: dict[int, list[Any]] = defaultdict(list)
    for row in rows:
        found[row.delivery_id].insert(0, row)
    return found
