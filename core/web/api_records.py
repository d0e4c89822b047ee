"""JSON about records: lists, one record, its timeline. Read only."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.encoders import jsonable_encoder
from pydantic import BaseModel

from core.errors import UnknownName
from core.web.fields import as_json
from core.web.guard import Allowed
from core.web.parameters import Before, RecordId, Search
from core.web.records import PAGE, search
from core.web.route import ApiRoute
from core.web.timeline import Entry, timeline_of

router = APIRouter(prefix="/api/records", tags=["records"], route_class=ApiRoute)


class RecordPage(BaseModel):
    """A page of records; pass `next_before` as `before` for the next one, until it is null."""

    items: list[dict[str, Any]]
    next_before: int | None


class FollowedLink(BaseModel):
    """A link that a person followed, how often, and when first."""

    url: str
    at: datetime
    count: int


class Recipient(BaseModel):
    """One recipient's state, with the server's last answer; what is known of the reading is an estimate."""

    address: str
    kind: str
    state: str
    attempts: int
    reply: str
    opened_at: datetime | None
    clicked_at: datetime | None
    links: list[FollowedLink]


class FileLink(BaseModel):
    """An attached file."""

    id: int
    name: str
    content_type: str
    size_bytes: int
    url: str


class Change(BaseModel):
    """A tracked field's change."""

    field: str
    old: str
    new: str


class TimelineEntry(BaseModel):
    """One entry. `trace` says of an inbound mail which rule brought it here."""

    id: int
    kind: str
    at: datetime
    author: str
    subject: str
    text: str
    message_id: str | None
    send_state: str | None
    recipients: list[Recipient]
    attachments: list[FileLink]
    changes: list[Change]
    trace: list[dict[str, Any]]


class Timeline(BaseModel):
    """A page of entries, newest first; pass `next_before` as `before` for the next one."""

    items: list[TimelineEntry]
    next_before: int | None


@router.get("/{model}", summary="List a model's records")
async def list_records(
    model: str,
    access: Allowed,
    q: Search = "",
    before: Before = None,
    limit: Annotated[int, Query(ge=1, le=200)] = PAGE,
) -> RecordPage:
    """Return records, newest first; `q` is looked for in their names."""
    found = await search(access, model, q, before, limit)
    items = [_encoded(await as_json(record)) for record in found.records]
    return RecordPage(items=items, next_before=found.next_before)


@router.get("/{model}/{record_id}", summary="Read one record")
async def read_record(model: str, record_id: RecordId, access: Allowed) -> dict[str, Any]:
    """Return a record as plain data."""
    return _encoded(await as_json(await access.find(model, record_id)))


@router.get("/{model}/{record_id}/timeline", summary="Read a record's timeline")
async def read_timeline(model: str, record_id: RecordId, access: Allowed, before: Before = None) -> Timeline:
    """Return what happened on a record."""
    record = await access.find(model, record_id)
    if not hasattr(record, "timeline"):
        raise UnknownName(f"{model} has no timeline.")
    entries, older = await timeline_of(record, access, before)
    return Timeline(items=[_shown(entry) for entry in entries], next_before=older)


def _encoded(data: dict[str, Any]) -> dict[str, Any]:
    """Return plain data as JSON holds it; an amount is text, since a binary fraction would change it."""
    encoded: dict[str, Any] = jsonable_encoder(data, custom_encoder={Decimal: str})
    return encoded


def _shown(entry: Entry) -> TimelineEntry:
    message = entry.message
    return TimelineEntry(
        id=message.id,
        kind=entry.kind,
        at=message.created_at,
        author=entry.author,
        subject=message.subject,
        text=entry.text,
        message_id=message.message_id,
        send_state=message.send_state,
        recipients=[
            Recipient(
                address=copy.delivery.recipient,
                kind=copy.delivery.kind,
                state=copy.state,
                attempts=copy.delivery.attempts,
                reply=copy.reply,
                opened_at=copy.delivery.opened_at,
                clicked_at=copy.delivery.clicked_at,
                links=[FollowedLink(url=link.url, at=link.at, count=link.count) for link in copy.reading.links],
            )
            for copy in entry.copies
        ],
        attachments=[
            FileLink(
                id=file.id,
                name=file.name,
                content_type=file.content_type,
                size_bytes=file.size_bytes,
                url=f"/attachments/{file.id}",
            )
            for file in entry.attachments
        ],
        changes=[Change(field=one.field, old=one.old_text, new=one.new_text) for one in entry.changes],
        trace=entry.why["trace"] if entry.why else [],
    )
