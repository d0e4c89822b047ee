"""A record's timeline as `reference/002` has it: comments, and what became of each mail among them.

Whoever asks has been let to the record before. Blind copies are told to their sender alone, notes to those inside.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from itertools import accumulate
from typing import Any

from pydantic import Field
from tortoise.functions import Length
from tortoise.query_utils import Prefetch

from core.access import Access
from core.mail.sanitise import cleaned_html
from core.runtime import get_model, settings
from core.web.bodies import text_of
from core.web.files import content_address
from core.web.tables import Shape
from core.web.timeline import author_of, last_replies, may_read_change
from core.web.words import field_title

PAGE = 50
MOST = 200
_PAGE_CHARS = 4_000_000
"""Of bodies, as they are stored; cleaned, they may grow some times."""
_REFUSED = 500


class Status(StrEnum):
    """What became of a mail; of several recipients, the furthest that one of them got, in this order."""

    READ = "read"
    """Its pixel was fetched, or a reader said so: an estimate."""
    SENT = "sent"
    """A server took it."""
    QUEUED = "queued"
    """It waits: for its turn, for another try, or for a person to release it."""
    BOUNCED = "bounced"
    """The recipient's server refused it, or reported later that it could not be delivered."""
    DROPPED = "dropped"
    """It was not sent: cancelled, suppressed, too late, or given up after its last try."""
    RECEIVED = "received"
    """It came in."""


class EmailRecipient(Shape):
    """One recipient's copy: `kind` is to, cc or bcc."""

    address: str
    kind: str
    status: Status
    read_at: datetime | None
    error: str


class EmailMetadata(Shape):
    """What is known of a mail; all empty where the comment is none. `messageId` has its angle brackets."""

    status: Status | None = None
    read_at: datetime | None = None
    sent_at: datetime | None = None
    scheduled_at: datetime | None = None
    from_: str = Field(default="", serialization_alias="from")
    to: list[str] = Field(default_factory=list)
    cc: list[str] = Field(default_factory=list)
    bcc: list[str] = Field(default_factory=list, description="For their sender alone.")
    message_id: str | None = None
    in_reply_to: int | None = Field(
        default=None, description="The id of the comment that this one answers, or goes on from."
    )
    verified: bool | None = Field(default=None, description="Of a mail that came in: whether From is proven.")
    error: str = ""
    recipients: list[EmailRecipient] = Field(default_factory=list)


class CommentFile(Shape):
    """A file, in the shape in which `/api/email/send` takes it; `url` is where it is saved from."""

    id: int
    name: str
    path: str
    type: str
    size: int
    host: str
    url: str


class CommentAuthor(Shape):
    """Who wrote it; `id` is a User's, where one did."""

    id: int | None
    name: str


class Comment(Shape):
    """An entry of a timeline.

    `type` is email_out or email_in, sms_out and so on for other channels, comment (a message to nobody), note,
    tracking (changed fields) or system. `body` is cleaned HTML.
    """

    id: int
    type: str = Field(examples=["email_out"])
    created_at: datetime
    author: CommentAuthor
    subject: str
    body: str
    text: str
    attachments: list[CommentFile]
    metadata: EmailMetadata


async def page_of(
    record: Any, table_id: int, access: Access, limit: int, before: int | None
) -> tuple[list[Comment], int | None]:
    """Return comments, newest first, and under which id the next page starts (None at the end).

    A page ends early where its bodies are large: each has one comment at least.
    """
    entries = get_model("Message").filter(res_model=type(record).__name__, res_id=record.pk)
    older = entries.filter(id__lt=before) if before is not None else entries
    sizes = await older.order_by("-id").limit(limit + 1).annotate(size=Length("body")).values_list("id", "size")
    ids = _that_fit(sizes[:limit])
    found = await _with_all(entries.filter(id__in=ids).order_by("-id"))
    more = ids[-1] if len(ids) < len(sizes) else None
    return await _comments([one for one in found if access.sees(one)], table_id, access), more


def _that_fit(sizes: Sequence[tuple[int, int]]) -> list[int]:
    """Return the ids of as many messages, by (id, length of the body), as go into one answer."""
    totals = accumulate(size for _, size in sizes)
    return [message_id for at, ((message_id, _), total) in enumerate(zip(sizes, totals, strict=True))
            if at == 0 or total <= _PAGE_CHARS]  # fmt: skip


async def metadata_of(message_id: int, access: Access) -> EmailMetadata:
    """Return what is known of one mail, which the user may see."""
    (message,) = await _with_all(get_model("Message").filter(id=message_id))
    return _metadata(message, (await _recipients([message], access))[message.pk])


def _with_all(messages: Any) -> Any:
    """Let a query bring along what comments tell: by as many queries more, whatever their number."""
    files = Prefetch("attachments", queryset=get_model("Attachment").without_content())
    return messages.prefetch_related("author", "author_contact", "deliveries", "changes", files)


async def _comments(messages: Sequence[Any], table_id: int, access: Access) -> list[Comment]:
    recipients = await _recipients(messages, access)
    bodies = await asyncio.to_thread(lambda: [(_clean_body(one), text_of(one)) for one in messages])
    return [
        _comment(message, body, text, recipients[message.pk], table_id, access)
        for message, (body, text) in zip(messages, bodies, strict=True)
    ]


async def _recipients(messages: Sequence[Any], access: Access) -> dict[int, list[EmailRecipient]]:
    """Return what became of each copy that the user may know of, by message."""
    seen = {message.pk: _seen_copies(message, access) for message in messages}
    copies = [copy for among in seen.values() for copy in among]
    refused = await _refused(copy.pk for copy in copies if copy.state == "failed")
    errors = await last_replies(copy.pk for copy in copies if copy.state != "sent" or copy.bounced_at)
    return {key: [_recipient(copy, refused, errors) for copy in among] for key, among in seen.items()}


def _seen_copies(message: Any, access: Access) -> list[Any]:
    if not access.sees_sending(message):
        return []
    sees_blind = access.is_admin or message.author_id == access.user_id
    return sorted((one for one in message.deliveries if one.kind != "bcc" or sees_blind), key=lambda one: one.pk)


async def _refused(delivery_ids: Iterable[int]) -> set[int]:
    """Return those of some failed deliveries that the other side refused for good with its last word."""
    ids = list(delivery_ids)
    rows = get_model("Attempt").filter(delivery_id__in=ids).order_by("id").values_list("delivery_id", "code")
    last = dict(await rows) if ids else {}
    return {delivery_id for delivery_id, code in last.items() if code is not None and code >= _REFUSED}


def _recipient(copy: Any, refused: set[int], errors: Mapping[int, str]) -> EmailRecipient:
    status = _status(copy, copy.pk in refused)
    read_at = min(filter(None, (copy.read_at, copy.opened_at)), default=None) if status is Status.READ else None
    error = "" if status in (Status.READ, Status.SENT) else errors.get(copy.pk, "")
    return EmailRecipient(address=copy.recipient, kind=copy.kind, status=status, read_at=read_at, error=error)


def _status(copy: Any, is_refused: bool) -> Status:
    """Return what became of one copy.

    Of a mail that came back, only what a person opened before that was read: the pixel makes a sent mail a read one,
    and a scanner before the mailbox may look just like a person.
    """
    if copy.state == "failed" and is_refused:
        return Status.BOUNCED
    if copy.bounced_at and not (copy.opened_at and copy.opened_at <= copy.bounced_at):
        return Status.BOUNCED
    if copy.opened_at or copy.read_at:
        return Status.READ
    if copy.state in ("failed", "cancelled"):
        return Status.DROPPED
    return Status.SENT if copy.state == "sent" else Status.QUEUED


def _comment(
    message: Any, body: str, text: str, recipients: list[EmailRecipient], table_id: int, access: Access
) -> Comment:
    changes = [
        f"{field_title(one.field)}: {one.old_text} → {one.new_text}"
        for one in message.changes
        if may_read_change(message, one, access)
    ]
    return Comment(
        id=message.pk,
        type=_type(message),
        created_at=message.created_at,
        author=CommentAuthor(id=message.author_id, name=author_of(message)),
        subject=message.subject,
        body=body,
        text="\n".join(changes) or text,
        attachments=[_file(one, table_id) for one in message.attachments],
        metadata=_metadata(message, recipients)
        if _is_mail(message) and access.sees_sending(message)
        else EmailMetadata(),
    )


def _is_mail(message: Any) -> bool:
    return bool(message.kind == "message" and message.direction != "Internal")


def _type(message: Any) -> str:
    if message.kind != "message":
        return str(message.kind)
    if not _is_mail(message):
        return "comment"
    return f"{message.channel}_{'in' if message.direction == 'Inbound' else 'out'}"


def _metadata(message: Any, recipients: list[EmailRecipient]) -> EmailMetadata:
    is_inbound = message.direction == "Inbound"
    reached = {one.status for one in recipients}
    status = Status.RECEIVED if is_inbound else next((one for one in Status if one in reached), _whole(message))
    return EmailMetadata(
        status=status,
        read_at=min((one.read_at for one in recipients if one.read_at), default=None),
        sent_at=message.sent_at,
        scheduled_at=message.scheduled_at,
        from_=message.email_from,
        to=message.email_to,
        cc=message.email_cc,
        bcc=[one.address for one in recipients if one.kind == "bcc"],
        message_id=message.message_id,
        in_reply_to=message.parent_id,
        verified=message.authenticity == "pass" if is_inbound else None,
        error="\n".join(dict.fromkeys(one.error for one in recipients if one.error)),
        recipients=recipients,
    )


def _whole(message: Any) -> Status:
    """Return what the message itself says, where whoever asks may know of no recipient."""
    if message.send_state == "Sent":
        return Status.SENT
    return Status.DROPPED if message.send_state in ("Failed", "Cancelled") else Status.QUEUED


def _file(file: Any, table_id: int) -> CommentFile:
    return CommentFile(
        id=file.pk,
        name=file.name,
        path=file.path_for(table_id),
        type=file.content_type,
        size=file.size_bytes,
        host=settings().BASE_URL,
        url=content_address(file),
    )


def _clean_body(message: Any) -> str:
    """Return a body as harmless HTML, its inline pictures under their own addresses, nothing loaded from elsewhere."""
    files = {file.content_id: content_address(file) for file in message.attachments if file.content_id}
    return cleaned_html(message.body, files.get).html
