"""JSON about a record's timeline: what happened, and what is written to it: messages and notes.

Whoever may read a record may read its timeline. Those inside write to it where they may change the record; those
outside answer on their own records, by text alone, which mails nobody: colleagues are told in the application.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Depends, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from core.access import Access, Right
from core.errors import AccessDenied
from core.mail.body import text_to_html
from core.mail.words import clean_text
from core.orm.transaction import transaction
from core.runtime import acting_user, get_model
from core.web.attached import visible_files
from core.web.colleagues import colleagues
from core.web.cursor import cursor_behind, last_id_of
from core.web.entries import find_entry
from core.web.files import content_address
from core.web.guard import Allowed, scope
from core.web.parameters import Before, LinkedId, RecordId
from core.web.record_examples import ModelName
from core.web.record_faults import invalid
from core.web.route import ApiRoute
from core.web.timeline import Entry, entries_of, find_with_timeline, require_inside, timeline_of

router = APIRouter(prefix="/api/records/{model}/{record_id}", tags=["timelines"], route_class=ApiRoute)

_Addresses = Annotated[list[Annotated[str, Field(max_length=512)]], Field(max_length=1_000)]
_Text = Annotated[str, Field(max_length=1_000_000)]
_Cursor = Annotated[str | None, Query(max_length=1_000)]


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
    """A page of entries, newest first; pass `next_cursor` as `cursor`, or `next_before` as `before`, for the next."""

    items: list[TimelineEntry]
    next_cursor: str | None
    next_before: int | None


class NewMessage(BaseModel):
    """A message: as text, as HTML (`body`), or made from an EmailTemplate, whose identifier is given.

    `to` are addresses; without it, the record's correspondent and its followers get it, and with an empty list nobody.
    """

    model_config = ConfigDict(extra="forbid")

    text: _Text | None = None
    body: _Text | None = None
    template: str | None = Field(None, max_length=128)
    subject: str = Field("", max_length=998)
    to: _Addresses | None = None
    cc: _Addresses = []
    bcc: _Addresses = []
    attachments: list[LinkedId] = Field([], max_length=100, description="Ids of files that `/api/files` took.")
    scheduled_at: AwareDatetime | None = None
    priority: Literal["high", "normal", "low"] = "normal"


class NewNote(BaseModel):
    """A note for colleagues, as text or as HTML (`body`); `mentions` are the ids of users who are told of it."""

    model_config = ConfigDict(extra="forbid")

    text: _Text | None = None
    body: _Text | None = None
    mentions: list[LinkedId] = Field([], max_length=100)
    attachments: list[LinkedId] = Field([], max_length=100)


@router.get("/timeline", summary="Read a record's timeline")
async def read_timeline(
    model: ModelName, record_id: RecordId, access: Allowed, before: Before = None, cursor: _Cursor = None
) -> Timeline:
    """Return what happened on a record."""
    record = await find_with_timeline(access, model, record_id, Right.READ)
    what = f"the timeline of {model} {record_id}"
    entries, older = await timeline_of(record, access, before if cursor is None else last_id_of(what, cursor))
    shown = [_shown(entry) for entry in entries]
    return Timeline(items=shown, next_cursor=cursor_behind(what, older), next_before=older)


@router.post(
    "/messages",
    status_code=202,
    summary="Write a message to a record's people",
    dependencies=[Depends(scope("mail"))],
)
async def post_message(
    model: ModelName,
    record_id: RecordId,
    access: Allowed,
    message: Annotated[
        NewMessage,
        Body(examples=[{"subject": "Your shelves", "text": "The walnut has come in.", "to": ["ada@engine.example"]}]),
    ],
) -> TimelineEntry:
    """Add a message to the timeline, and queue it for its recipients; with an `Idempotency-Key`, only once."""
    right = Right.WRITE if access.is_internal else Right.READ
    record = await find_with_timeline(access, model, record_id, right)
    async with transaction():
        posted = await _posted(access, record, message)
    return await _entry(access, posted)


@router.post("/notes", status_code=201, summary="Write an internal note")
async def post_note(
    model: ModelName,
    record_id: RecordId,
    access: Allowed,
    note: Annotated[NewNote, Body(examples=[{"text": "She would like oak better than walnut."}])],
) -> TimelineEntry:
    """Add a note, which no mail ever carries and which nobody outside sees."""
    require_inside(access)
    record = await find_with_timeline(access, model, record_id, Right.WRITE)
    html = _html(note.text, note.body)
    mentions = await colleagues(access, note.mentions, "/mentions")
    async with transaction():
        files = await _files(access, note.attachments)
        posted = await record.post_note(html, author=acting_user(), mentions=mentions, attachments=files)
    return await _entry(access, posted)


async def _posted(access: Access, record: Any, message: NewMessage) -> Any:
    author = acting_user()
    if not access.is_internal:
        html = _text_from_outside(access, message)
        return await record.post_message(html, subject=message.subject, author=author, to=())
    options: dict[str, Any] = {"cc": message.cc, "bcc": message.bcc, "priority": message.priority}
    if message.to is not None:
        options["to"] = message.to
    if message.scheduled_at is not None:
        options["scheduled_at"] = message.scheduled_at
    if message.template is not None:
        if message.text is not None or message.body is not None or message.attachments:
            raise invalid("/template", "makes text and files itself; leave out text, body and attachments")
        wanted = {name: value for name, value in options.items() if value}
        if message.subject:
            wanted["subject"] = message.subject
        return await record.send_template(message.template, author=author, **wanted)
    files = await _files(access, message.attachments)
    html = _html(message.text, message.body)
    return await record.post_message(html, subject=message.subject, author=author, attachments=files, **options)


def _text_from_outside(access: Access, message: NewMessage) -> str:
    """Return what somebody outside writes, who chooses neither recipients nor anything else."""
    access.require("Message", Right.CREATE)
    if message.model_fields_set - {"subject", "text"}:
        raise AccessDenied("From outside, a message has `subject` and `text`, and nothing else.")
    return _html(message.text, None)


def _html(text: str | None, body: str | None) -> str:
    if (text is None) == (body is None):
        raise invalid("", "must have either text, or body (HTML)")
    written = clean_text(text or body or "").strip()
    if not written:
        raise invalid("/text" if body is None else "/body", "must not be empty")
    return written if text is None else f"<p>{text_to_html(written)}</p>"


async def _files(access: Access, ids: list[int]) -> list[Any]:
    """Return files, whole, that the user may send on."""
    there = (
        await visible_files(access, await get_model("Attachment").without_content().filter(id__in=ids)) if ids else []
    )
    missing = set(ids) - {one.pk for one in there}
    if missing:
        raise invalid("/attachments", f"There is no file {min(missing)}.")
    found = await get_model("Attachment").in_bulk(ids, "id") if ids else {}
    return [found[one] for one in dict.fromkeys(ids)]


async def _entry(access: Access, posted: Any) -> TimelineEntry:
    (entry,) = await entries_of([await find_entry(access, posted.pk)], access)
    return _shown(entry)


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
                url=content_address(file),
            )
            for file in entry.attachments
        ],
        changes=[Change(field=one.field, old=one.old_text, new=one.new_text) for one in entry.changes],
        trace=entry.why["trace"] if entry.why else [],
    )
