"""A record's timeline as a page and a program read it: entries with what became of each recipient, and why it is here.

Whoever asks for entries has been let to the record before; notes are left out for those who may not see them, and so
are blind copies for all but their sender.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from core import clock
from core.access import Access, Right
from core.errors import AccessDenied, UnknownName
from core.runtime import get_model
from core.web.bodies import Body, bodies_of, text_of
from core.web.receipts import failure_told, length_of, receipts_of, state_told
from core.web.tracking_reading import Reading, readings
from core.web.words import delivery_state

_PAGE = 30
_INBOUND = ("id", "message_id", "outcome", "trace", "source", "state")


@dataclass(frozen=True, slots=True)
class Copy:
    """One recipient, with what a server last said about it, and what is known of its being read."""

    delivery: Any
    state: str
    reply: str
    reading: Reading


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry; `why` is the spool row of an inbound mail: its id, outcome and trace."""

    message: Any
    author: str
    body: Body
    copies: tuple[Copy, ...]
    attachments: tuple[Any, ...]
    changes: tuple[Any, ...]
    why: dict[str, Any] | None
    receipts: Mapping[int, Sequence[Any]]
    """What a channel's provider told, by delivery."""
    length: str

    @property
    def text(self) -> str:
        """The body as text."""
        return text_of(self.message)

    @property
    def files(self) -> tuple[Any, ...]:
        """The files to list: not the pictures that a frame shows."""
        if not (self.body.is_html or self.body.is_quoted_html):
            return self.attachments
        html = str(self.message.body)
        return tuple(one for one in self.attachments if not one.content_id or f"cid:{one.content_id}" not in html)

    @property
    def can_be_undone(self) -> bool:
        """Whether the message still waits for its first try, so that its author may take it back."""
        waiting = [one.state == "queued" and not one.attempts and one.due_at > clock.now() for one in self._deliveries]
        return self.message.send_state == "Queued" and bool(waiting) and all(waiting)

    @property
    def is_typed(self) -> bool:
        """Whether the page's own form can show all of the message: a text and nothing attached."""
        return not (self.body.is_html or self.attachments)

    @property
    def _deliveries(self) -> list[Any]:
        return list(self.message.deliveries)

    @property
    def kind(self) -> str:
        """note, tracking, system, inbound or outbound (a message that never left counts as outbound)."""
        if self.message.kind != "message":
            return str(self.message.kind)
        return "inbound" if self.message.direction == "Inbound" else "outbound"


async def find_with_timeline(access: Access, model: str, record_id: int, right: Right) -> Any:
    """Return a record as `access.find` does; UnknownName where it has no timeline."""
    record = await access.find(model, record_id, right)
    if not hasattr(record, "post_message"):
        raise UnknownName(f"{model} has no timeline.")
    return record


def require_inside(access: Access) -> None:
    """Raise AccessDenied for those outside, who never see what colleagues note and plan."""
    if not access.is_internal:
        raise AccessDenied("Notes and activities are for those inside.")


async def timeline_of(
    record: Any, access: Access, before: int | None = None, pictures: int | None = None
) -> tuple[list[Entry], int | None]:
    """Return a page of entries, newest first, and where the next one starts (None at the end).

    `pictures` is the id of the entry whose pictures from elsewhere the user asked for.
    """
    messages = await record.timeline(_PAGE + 1, before)
    more = messages[_PAGE - 1].id if len(messages) > _PAGE else None
    return await entries_of([one for one in messages[:_PAGE] if access.sees(one)], access, pictures), more


async def entries_of(messages: Sequence[Any], access: Access, pictures: int | None = None) -> list[Entry]:
    """Return messages, with everything prefetched that `Chatter.timeline` prefetches, as entries."""
    ids = [delivery.id for message in messages for delivery in message.deliveries]
    replies, read = await last_replies(ids), await readings(ids)
    receipts = await receipts_of(messages)
    rows = await get_model("InboundEmail").filter(message_id__in=[one.id for one in messages]).values(*_INBOUND)
    why = {row["message_id"]: row for row in rows}
    bodies = await bodies_of(messages, access, pictures)
    return [
        Entry(
            message=message,
            author=author_of(message),
            body=body,
            copies=tuple(_told(copy, receipts) for copy in copies_of(message, access, replies, read)),
            attachments=tuple(message.attachments),
            changes=tuple(one for one in message.changes if may_read_change(message, one, access)),
            why=why.get(message.id) if access.is_internal else None,
            receipts=receipts,
            length=length_of(message),
        )
        for message, body in zip(messages, bodies, strict=True)
    ]


def copies_of(message: Any, access: Access, replies: dict[int, str], read: dict[int, Reading]) -> tuple[Copy, ...]:
    """Return the recipients that the user may see; blind copies are for their sender and administrators."""
    if not access.sees_sending(message):
        return ()
    sees_blind = access.is_admin or message.author_id == access.user_id
    return tuple(
        Copy(delivery, delivery_state(delivery), replies.get(delivery.id, ""), read.get(delivery.id, Reading()))
        for delivery in message.deliveries
        if delivery.kind != "bcc" or sees_blind
    )


def may_read_change(message: Any, change: Any, access: Access) -> bool:
    """Whether the user may read the field that was changed, as far as its model still has it."""
    return message.res_model is None or access.is_admin or access.may_field(message.res_model, change.field)


def _told(copy: Copy, receipts: Mapping[int, Sequence[Any]]) -> Copy:
    """Return what is known of a recipient, sharpened by the receipts."""
    told = receipts.get(copy.delivery.id, ())
    return replace(copy, state=state_told(copy.state, told), reply=failure_told(copy.state, told) or copy.reply)


async def last_replies(delivery_ids: Iterable[int]) -> dict[int, str]:
    """Return what was last said of each delivery: by a server when it was sent, or by a report after that."""
    ids = list(delivery_ids)
    rows = get_model("Attempt").filter(delivery_id__in=ids).order_by("id")
    replies = {delivery_id: reply[:500] for delivery_id, reply in await rows.values_list("delivery_id", "reply")}
    lost = get_model("MailEvent").filter(delivery_id__in=ids, kind__in=("bounced", "dropped", "complained"))
    async for event in lost.order_by("id"):
        status = f" ({event.status})" if event.status else ""
        unproven = "" if event.proven else " Nothing proves this report."
        replies[event.delivery_id] = f"{event.kind}{status}: {event.reason or 'no reason given'}.{unproven}"
    return replies


def author_of(message: Any) -> str:
    """Return who wrote an entry: the user, the contact, the address it came from, or the system."""
    author = message.author or message.author_contact
    return author.display_name if author else (message.email_from or "System")
