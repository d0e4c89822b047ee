"""The list of a model's records, and one record with its timeline and composer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from core.access import Access, Right
from core.errors import PostroomError, UserError
from core.mail.body import text_to_html
from core.mail.words import clean_text
from core.orm.transaction import transaction
from core.runtime import get_model, settings
from core.web.bodies import text_of
from core.web.composer import check_recipients, composer_for, draft_of, time_typed
from core.web.errors import status_of
from core.web.fields import fields_of, lines_of, list_columns, row_of
from core.web.guard import Allowed
from core.web.live_page import live_page
from core.web.parameters import Before, RecordId, Search
from core.web.records import search
from core.web.session import visit_of
from core.web.timeline import find_with_timeline, timeline_of
from core.web.view import render

router = APIRouter(prefix="/records")

_Body = Annotated[str, Form(max_length=1_000_000)]


@router.get("/{model}")
async def record_list(request: Request, model: str, access: Allowed, q: Search = "", before: Before = None) -> Response:
    """List records, newest first."""
    found = await search(access, model, q, before)
    columns = list_columns(get_model(model), access)
    rows = [(record, await row_of(record, columns)) for record in found.records]
    return render(
        request, "records.html", model=model, columns=columns, rows=rows, q=q, before=before, next=found.next_before
    )


@router.get("/{model}/{record_id}")
async def record_page(
    request: Request,
    model: str,
    record_id: RecordId,
    access: Allowed,
    before: Before = None,
    draft: str = "",
    pictures: int | None = None,
) -> Response:
    """Show one record; with `draft`, a message that was taken back stands in the form again.

    `pictures` is the entry whose pictures from elsewhere are shown this once.
    """
    record = await access.find(model, record_id)
    found = await draft_of(record, access, draft) if draft else None
    if found is None:
        return await _page(request, access, record, before=before, pictures=pictures)
    typed = {"draft_id": str(found.pk), "subject": found.subject, "draft": text_of(found)}
    return await _page(request, access, record, typed=typed)


@router.post("/{model}/{record_id}/message")
async def post_message(
    request: Request,
    model: str,
    record_id: RecordId,
    access: Allowed,
    body: _Body = "",
    subject: Annotated[str, Form(max_length=998)] = "",
    to: Annotated[list[str] | None, Form()] = None,
    draft: Annotated[str, Form(max_length=20)] = "",
    importance: Annotated[Literal["normal", "high", "low"], Form()] = "normal",
    send_at: Annotated[str, Form(max_length=40)] = "",
) -> Response:
    """Send a message to exactly those whom the page named, a moment later, so that it can be taken back."""
    if not access.is_internal:
        return await _post_from_outside(request, access, model, record_id, body, subject)
    record, user = await find_with_timeline(access, model, record_id, Right.WRITE), visit_of(request).user
    try:
        recipients = _addresses(to)
        expected = await record.message_recipients(user)
        if expected:
            check_recipients(recipients, expected)
        elif not recipients:
            raise UserError("Give at least one address to send this to.")
        options = {"priority": importance, "undo_s": settings().UNDO_SECONDS}
        scheduled_at = time_typed(send_at, user.timezone)
        async with transaction():
            taken_back = await draft_of(record, access, draft) if draft else None
            if taken_back is not None:
                await taken_back.delete()
            message = await record.post_message(
                _html(body), subject=subject, author=user, to=recipients, scheduled_at=scheduled_at, **options
            )
    except PostroomError as error:
        typed = {"mode": "message", "draft": body, "subject": subject, "draft_id": draft, "send_at": send_at}
        return await _page(request, access, record, error=error, typed={**typed, "importance": importance})
    return _to_entry(model, record_id, message)


async def _post_from_outside(
    request: Request, access: Access, model: str, record_id: int, body: str, subject: str
) -> Response:
    """Put what a customer wrote on its own record, where colleagues are told of it; it mails nobody."""
    record = await find_with_timeline(access, model, record_id, Right.READ)
    if not access.may_post(model):
        access.require("Message", Right.CREATE)
    try:
        message = await record.post_message(_html(body), subject=subject, author=visit_of(request).user, to=())
    except PostroomError as error:
        return await _page(request, access, record, error=error, typed={"draft": body, "subject": subject})
    return _to_entry(model, record_id, message)


@router.post("/{model}/{record_id}/text/{channel}")
async def send_text(
    request: Request,
    model: str,
    record_id: RecordId,
    channel: str,
    access: Allowed,
    body: _Body = "",
    template: Annotated[str, Form(max_length=128)] = "",
    to: Annotated[list[str] | None, Form()] = None,
) -> Response:
    """Send a text by a channel beside e-mail to exactly those whom the page named."""
    record, user = await find_with_timeline(access, model, record_id, Right.WRITE), visit_of(request).user
    try:
        recipients = _addresses(to)
        expected = await record.channel_recipients(channel)
        if expected:
            check_recipients(recipients, expected)
        text = body.strip().replace("\r\n", "\n")
        chosen = template or None
        message = await record.send_message(text, channel=channel, author=user, to=recipients, template=chosen)
    except PostroomError as error:
        return await _page(request, access, record, error=error, typed={"mode": channel, "draft": body})
    return _to_entry(model, record_id, message)


@router.post("/{model}/{record_id}/note")
async def post_note(request: Request, model: str, record_id: RecordId, access: Allowed, body: _Body = "") -> Response:
    """Write an internal note, which no mail ever carries."""
    record = await find_with_timeline(access, model, record_id, Right.WRITE)
    if not access.is_internal:
        access.require("internal notes", Right.CREATE)
    try:
        message = await record.post_note(_html(body), author=visit_of(request).user)
    except PostroomError as error:
        return await _page(request, access, record, error=error, typed={"mode": "note", "draft": body})
    return _to_entry(model, record_id, message)


@router.post("/{model}/{record_id}/{change}")
async def follow(
    request: Request, model: str, record_id: RecordId, change: Literal["follow", "unfollow"], access: Allowed
) -> Response:
    """Be told of a record's messages, or no longer."""
    record = await find_with_timeline(access, model, record_id, Right.READ)
    contact = await get_model("Contact").get_or_none(id=visit_of(request).user.contact_id)
    if contact is None:
        raise UserError("Your user has no contact yet; an administrator can give it one.")
    await (record.follow(contact) if change == "follow" else record.unfollow(contact))
    return RedirectResponse(f"/records/{model}/{record_id}", 303)


async def _page(
    request: Request,
    access: Access,
    record: Any,
    *,
    before: int | None = None,
    pictures: int | None = None,
    error: PostroomError | None = None,
    typed: Mapping[str, str] = MappingProxyType({}),
) -> Response:
    entries, older, composer, followers, live = None, None, None, [], None
    if hasattr(record, "timeline"):
        live = await live_page(access, f"record:{type(record).__name__}:{record.pk}")
        entries, older = await timeline_of(record, access, before, pictures)
        followers = await record.followers()
        words = str(error) if error else ""
        composer = await composer_for(record, access, visit_of(request).user, error=words, **typed)
    return render(
        request,
        "record.html",
        live=live,
        status=status_of(error) if error else 200,
        model=type(record).__name__,
        record=record,
        fields=await fields_of(record, access),
        lines=await lines_of(record, access),
        entries=entries,
        older=older,
        before=before,
        composer=composer,
        followers=followers if access.is_internal else [],
        follows=any(one.pk == visit_of(request).user.contact_id for one in followers),
    )


def _addresses(lines: Iterable[str] | None) -> list[str]:
    """Return what stands between commas, in one field or several."""
    return [address.strip() for line in lines or () for address in line.split(",") if address.strip()]


def _html(body: str) -> str:
    """Return what was typed, as HTML; UserError where nothing was."""
    body = clean_text(body)
    if not body.strip():
        raise UserError("There is no text yet; write something first.")
    return f"<p>{text_to_html(body.strip())}</p>"


def _to_entry(model: str, record_id: int, message: Any) -> Response:
    return RedirectResponse(f"/records/{model}/{record_id}#entry-{message.id}", 303)
