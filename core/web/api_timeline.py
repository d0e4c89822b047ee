"""JSON about a record's timeline: what happened, and what is written to it: messages, notes, followers, activities.

Whoever may read a record may read its timeline. Those inside write to it where they may change the record; those
outside answer on their own records, by text alone, which mails nobody: colleagues are told in the application.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Depends, Query
from itsdangerous import BadData
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from tortoise.expressions import Q, Subquery

from core.access import Access, Right
from core.errors import AccessDenied, UnknownName
from core.mail.body import text_to_html
from core.mail.words import clean_text
from core.orm.transaction import transaction
from core.runtime import acting_user, get_model
from core.web.api_files import StoredFile, stored_file
from core.web.attached import visible_files
from core.web.entries import find_entry
from core.web.files import content_address
from core.web.guard import Allowed, scope
from core.web.parameters import LARGEST, Before, RecordId
from core.web.record_examples import ModelName
from core.web.record_faults import invalid
from core.web.record_query import signer
from core.web.record_read import named
from core.web.route import ApiRoute
from core.web.timeline import Entry, entries_of, timeline_of

router = APIRouter(prefix="/api/records/{model}/{record_id}", tags=["timelines"], route_class=ApiRoute)

_MOST_LISTED = 200
_Id = Annotated[int, Field(ge=1, le=LARGEST)]
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
    attachments: list[_Id] = Field([], max_length=100, description="Ids of files that `/api/files` took.")
    scheduled_at: AwareDatetime | None = None
    priority: Literal["high", "normal", "low"] = "normal"


class NewNote(BaseModel):
    """A note for colleagues, as text or as HTML (`body`); `mentions` are the ids of users who are told of it."""

    model_config = ConfigDict(extra="forbid")

    text: _Text | None = None
    body: _Text | None = None
    mentions: list[_Id] = Field([], max_length=100)
    attachments: list[_Id] = Field([], max_length=100)


class Named(BaseModel):
    """A record that is pointed at."""

    id: int
    display_name: str


class FollowerEntry(BaseModel):
    """Who follows, why, and since when."""

    contact: Named
    reason: str
    since: datetime


class FollowerList(BaseModel):
    """All who follow a record, in the order in which they came."""

    items: list[FollowerEntry]


class NewFollower(BaseModel):
    """Whom to let follow: a contact's id, or null for the caller's own contact."""

    model_config = ConfigDict(extra="forbid")

    contact: _Id | None = None


class ActivityEntry(BaseModel):
    """Something to do; `done_at` is null while it waits."""

    id: int
    kind: str
    summary: str
    note: str
    due_on: date
    assignee: Named | None
    done_at: datetime | None
    created_at: datetime


class ActivityList(BaseModel):
    """What is to be done, the most urgent first."""

    items: list[ActivityEntry]


class NewActivity(BaseModel):
    """Something that somebody has to do by a date; `assignee` is a user's id."""

    model_config = ConfigDict(extra="forbid")

    kind: str = Field("To do", min_length=1, max_length=64)
    due_on: date
    summary: str = Field("", max_length=255)
    note: str = Field("", max_length=100_000)
    assignee: _Id | None = None


class FilePage(BaseModel):
    """A page of files, newest first; pass `next_before` as `before` for the next one."""

    items: list[StoredFile]
    next_before: int | None


@router.get("/timeline", summary="Read a record's timeline")
async def read_timeline(
    model: ModelName, record_id: RecordId, access: Allowed, before: Before = None, cursor: _Cursor = None
) -> Timeline:
    """Return what happened on a record."""
    record = await _of_timeline(access, model, record_id, Right.READ)
    start = _read_cursor(model, record_id, cursor) if cursor is not None else before
    entries, older = await timeline_of(record, access, start)
    next_cursor = None if older is None else str(_signer().dumps([model, record_id, older]))
    return Timeline(items=[_shown(entry) for entry in entries], next_cursor=next_cursor, next_before=older)


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
    record = await _of_timeline(access, model, record_id, right)
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
    _require_inside(access)
    record = await _of_timeline(access, model, record_id, Right.WRITE)
    html = _html(note.text, note.body)
    mentions = await _users(access, note.mentions)
    async with transaction():
        files = await _files(access, note.attachments)
        posted = await record.post_note(html, author=acting_user(), mentions=mentions, attachments=files)
    return await _entry(access, posted)


@router.get("/followers", summary="List who follows a record")
async def list_followers(model: ModelName, record_id: RecordId, access: Allowed) -> FollowerList:
    """Return the followers: to those outside, only themselves."""
    await _of_timeline(access, model, record_id, Right.READ)
    rows = get_model("Follower").filter(res_model=model, res_id=record_id).order_by("id").prefetch_related("contact")
    if not access.is_internal:
        rows = rows.filter(contact_id=access.contact_id)
    return FollowerList(
        items=[
            FollowerEntry(contact=Named(**named(row.contact)), reason=row.reason, since=row.created_at)
            for row in await rows
        ]
    )


@router.post("/followers", status_code=204, summary="Let somebody follow a record")
async def add_follower(
    model: ModelName,
    record_id: RecordId,
    access: Allowed,
    follower: Annotated[NewFollower, Body(examples=[{"contact": 1}])],
) -> None:
    """Let a contact, or the caller, be told of a record's messages; a second call changes nothing."""
    contact_id = _own_contact(access) if follower.contact is None else follower.contact
    record = await _of_timeline(access, model, record_id, _right_to_follow(access, contact_id))
    contact = await access.one_readable("Contact", contact_id) if contact_id != access.contact_id else None
    if contact is None and contact_id != access.contact_id:
        raise invalid("/contact", f"There is no Contact {contact_id}.")
    await record.follow(contact or await get_model("Contact").get(id=contact_id))


@router.delete("/followers/{contact_id}", status_code=204, summary="Let somebody follow a record no longer")
async def remove_follower(model: ModelName, record_id: RecordId, contact_id: RecordId, access: Allowed) -> None:
    """Tell a contact of a record's messages no longer; nothing changes where it did not follow."""
    await _of_timeline(access, model, record_id, _right_to_follow(access, contact_id))
    await get_model("Follower").filter(res_model=model, res_id=record_id, contact_id=contact_id).delete()


@router.get("/activities", summary="List what is to be done about a record")
async def list_activities(model: ModelName, record_id: RecordId, access: Allowed, done: bool = False) -> ActivityList:
    """Return what waits to be done, or with `done` what was, 200 at most."""
    _require_inside(access)
    await _of_timeline(access, model, record_id, Right.READ)
    rows = get_model("Activity").filter(res_model=model, res_id=record_id, done_at__isnull=not done)
    found = await rows.order_by("due_on", "id").limit(_MOST_LISTED).prefetch_related("assignee")
    return ActivityList(items=[_activity(row) for row in found])


@router.post("/activities", status_code=201, summary="Give somebody something to do about a record")
async def add_activity(
    model: ModelName,
    record_id: RecordId,
    access: Allowed,
    activity: Annotated[
        NewActivity, Body(examples=[{"kind": "Call", "due_on": "2030-01-31", "summary": "Ask about the ladder"}])
    ],
) -> ActivityEntry:
    """Schedule an activity."""
    _require_inside(access)
    record = await _of_timeline(access, model, record_id, Right.WRITE)
    assignee = None
    if activity.assignee is not None:
        (assignee,) = await _users(access, [activity.assignee], "/assignee")
    added = await record.schedule_activity(
        activity.kind, activity.due_on, summary=activity.summary, note=activity.note, assignee=assignee
    )
    return _activity(await get_model("Activity").get(id=added.pk).prefetch_related("assignee"))


@router.post("/activities/{activity_id}/complete", summary="Mark an activity as done")
async def complete_activity(
    model: ModelName, record_id: RecordId, activity_id: RecordId, access: Allowed
) -> ActivityEntry:
    """Mark an activity as done now; a second call changes nothing."""
    activity = await _find_activity(access, model, record_id, activity_id)
    await activity.finish()
    return _activity(activity)


@router.delete("/activities/{activity_id}", status_code=204, summary="Take an activity back")
async def remove_activity(model: ModelName, record_id: RecordId, activity_id: RecordId, access: Allowed) -> None:
    """Delete an activity, done or not."""
    await (await _find_activity(access, model, record_id, activity_id)).delete()


@router.get("/attachments", summary="List the files of a record")
async def list_attachments(
    model: ModelName,
    record_id: RecordId,
    access: Allowed,
    before: Before = None,
    limit: Annotated[int, Query(ge=1, le=_MOST_LISTED)] = 50,
) -> FilePage:
    """Return the files that hang on a record or on its timeline, without their bytes."""
    await access.find(model, record_id)
    of_record: dict[str, Any] = {"res_model": model, "res_id": record_id}
    files = get_model("Attachment")
    of_entries = files.filter(messages__res_model=model, messages__res_id=record_id).values("id")
    rows = files.without_content().filter(Q(Q(**of_record), Q(id__in=Subquery(of_entries)), join_type=Q.OR))
    if before is not None:
        rows = rows.filter(id__lt=before)
    found = await rows.order_by("-id").limit(limit + 1)
    shown = await visible_files(access, found[:limit])
    return FilePage(
        items=[stored_file(one) for one in shown], next_before=found[limit - 1].pk if len(found) > limit else None
    )


# Writing.


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


async def _users(access: Access, ids: list[int], place: str = "/mentions") -> list[Any]:
    """Return active users of the caller's companies, or of none."""
    found = {user.pk: user for user in await get_model("User").filter(id__in=ids, active=True)} if ids else {}
    for one in ids:
        if one not in found or not _is_colleague(access, found[one]):
            raise invalid(place, f"There is no active user {one}.")
    return [found[one] for one in dict.fromkeys(ids)]


def _is_colleague(access: Access, user: Any) -> bool:
    return access.is_admin or user.company_id is None or user.company_id in access.company_ids


# Finding.


async def _of_timeline(access: Access, model: str, record_id: int, right: Right) -> Any:
    record = await access.find(model, record_id, right)
    if not hasattr(record, "post_message"):
        raise UnknownName(f"{model} has no timeline.")
    return record


async def _find_activity(access: Access, model: str, record_id: int, activity_id: int) -> Any:
    _require_inside(access)
    await _of_timeline(access, model, record_id, Right.WRITE)
    of_record = {"res_model": model, "res_id": record_id}
    activity = await get_model("Activity").get_or_none(id=activity_id, **of_record).prefetch_related("assignee")
    if activity is None:
        raise UnknownName(f"There is no activity {activity_id} on {model} {record_id}.")
    return activity


def _require_inside(access: Access) -> None:
    if not access.is_internal:
        raise AccessDenied("Notes and activities are for those inside.")


def _right_to_follow(access: Access, contact_id: int) -> Right:
    return Right.READ if contact_id == access.contact_id else Right.WRITE


def _own_contact(access: Access) -> int:
    if access.contact_id is None:
        raise invalid("/contact", "is missing, and your user has no contact; an administrator can give it one")
    return access.contact_id


def _read_cursor(model: str, record_id: int, cursor: str) -> int:
    try:
        of_model, of_record, before = _signer().loads(cursor)
    except (BadData, ValueError):
        raise invalid("/cursor", "is no cursor of ours; take it from `next_cursor` as it is") from None
    if (of_model, of_record) != (model, record_id):
        raise invalid("/cursor", "belongs to another timeline")
    return int(before)


def _signer() -> Any:
    return signer("postroom page of a timeline")


# Showing.


async def _entry(access: Access, posted: Any) -> TimelineEntry:
    (entry,) = await entries_of([await find_entry(access, posted.pk)], access)
    return _shown(entry)


def _activity(row: Any) -> ActivityEntry:
    assignee = Named(**named(row.assignee)) if row.assignee is not None else None
    kept = ("id", "kind", "summary", "note", "due_on", "done_at", "created_at")
    return ActivityEntry(assignee=assignee, **{name: getattr(row, name) for name in kept})


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
