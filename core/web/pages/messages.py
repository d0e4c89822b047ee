"""One message: how it stands, whom it went to, every try, its bytes, and what can be done about it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from core.access import Right
from core.audit import audit
from core.errors import PostroomError, UserError
from core.mail.parse import parse
from core.mail.sanitise import has_remote_pictures
from core.runtime import get_model
from core.web.bodies import frame_height, text_of
from core.web.entries import find_entry, find_own_entry, find_sent
from core.web.files import download
from core.web.guard import Allowed
from core.web.live_page import live_page
from core.web.parameters import RecordId
from core.web.queue_read import actions_for
from core.web.queue_steer import steer
from core.web.timeline import entries_of
from core.web.tracking_reading import events_of
from core.web.view import as_html, render
from core.web.words import READERS, state_sentence

router = APIRouter(prefix="/messages/{message_id}")

_SOURCE_MAX_CHARS = 60_000


@router.get("")
async def message_page(request: Request, message_id: RecordId, access: Allowed, images: bool = False) -> Response:
    """Show a message."""
    message = await find_sent(access, message_id)
    live = await live_page(access, f"record:{message.res_model}:{message.res_id}" if message.res_id else "queue")
    (entry,) = await entries_of([message], access)
    raw, fault = await _bytes(message)
    head, _, _ = raw.partition(b"\r\n\r\n")
    html = (await asyncio.to_thread(parse, raw)).html if raw else message.body
    record = await access.one_readable(message.res_model, message.res_id)
    stopped = await get_model("QueueSuspension").what_stops()
    return render(
        request,
        "message.html",
        live=live,
        message=message,
        entry=entry,
        text=await asyncio.to_thread(lambda: as_html(text_of(message))),
        record=record,
        sentence=lambda show_time: state_sentence(message, message.deliveries, show_time, stopped),
        tries=await _tries(entry.copies),
        events=await events_of(message.pk, [copy.delivery.id for copy in entry.copies]),
        recipients={copy.delivery.id: copy.delivery.recipient for copy in entry.copies},
        readers=READERS,
        actions=[one for one in actions_for(access, message, message.deliveries) if one != "send"],
        headers=head.decode("utf-8", "replace"),
        source=raw[:_SOURCE_MAX_CHARS].decode("utf-8", "replace"),
        source_is_cut=len(raw) > _SOURCE_MAX_CHARS,
        fault=fault,
        html=html,
        height=await asyncio.to_thread(frame_height, html or ""),
        images=images,
        has_remote_images=has_remote_pictures(html or ""),
    )


@router.get("/message.eml")
async def message_file(message_id: RecordId, access: Allowed) -> Response:
    """Save the exact bytes that a server is given."""
    message = await find_sent(access, message_id)
    raw, fault = await _bytes(message)
    if not raw:
        raise UserError(fault or "This entry is no mail, so there are no bytes to save.")
    await audit("mail_downloaded", message)
    return download(raw, f"{message.subject[:80] or 'message'}.eml", "message/rfc822")


@router.get("/draft.eml")
async def draft_file(message_id: RecordId, access: Allowed) -> Response:
    """Save the mail as an unsent draft for a desktop mail program; its own author finds the blind copies in it."""
    message = await find_sent(access, message_id)
    if message.direction != "Outbound" or not message.message_id:
        raise UserError("This entry is no outgoing mail, so there is no draft of it; write a new message instead.")
    raw = await message.draft_eml(with_bcc=message.author_id == access.user_id)
    return download(raw, f"{message.subject[:80] or 'draft'}.eml", "message/rfc822")


@router.post("/undo")
async def undo(message_id: RecordId, access: Allowed) -> Response:
    """Take a message back that has not left yet: what a person typed to be written anew, anything else for good."""
    message = await find_own_entry(access, message_id)
    (entry,) = await entries_of([message], access)
    if not entry.is_typed:
        await message.cancel()
        return _back_to(message, f"#entry-{message_id}")
    await message.undo()
    return _back_to(message, f"?draft={message_id}#compose")


@router.post("/discard")
async def discard(message_id: RecordId, access: Allowed) -> Response:
    """Throw a draft away."""
    message = await find_own_entry(access, message_id)
    if message.send_state != "Draft":
        raise UserError("Only a draft can be thrown away; cancel a message that waits.")
    await message.delete()
    return _back_to(message, "")


@router.post("/{action}")
async def act(message_id: RecordId, action: Literal["retry", "hold", "release", "cancel"], access: Allowed) -> Response:
    """Retry, hold, release or cancel what was not delivered."""
    message = await find_entry(access, message_id, Right.WRITE)
    await steer(message, action)
    return RedirectResponse(f"/messages/{message_id}", 303)


def _back_to(message: Any, where: str) -> Response:
    to_record = message.res_model is not None
    return RedirectResponse(f"/records/{message.res_model}/{message.res_id}{where}" if to_record else "/outbox", 303)


async def _bytes(message: Any) -> tuple[bytes, str]:
    """Return an outbound mail's bytes, or why they cannot be made; neither for what is no outbound mail."""
    if message.direction != "Outbound" or not message.message_id:
        return b"", ""
    try:
        return await message.eml(), ""
    except PostroomError as error:
        return b"", f"The mail cannot be composed: {error}"


async def _tries(copies: Sequence[Any]) -> list[tuple[Any, str]]:
    """Return every attempt with its recipient, the first one first."""
    recipients = {copy.delivery.id: copy.delivery.recipient for copy in copies}
    rows = await get_model("Attempt").filter(delivery_id__in=list(recipients)).order_by("id").limit(200)
    return [(row, recipients[row.delivery_id]) for row in rows]
