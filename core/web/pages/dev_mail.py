"""The dev mailbox: what would have gone out, and playing the people who would have got it."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response

from core.errors import UnknownName
from core.mail.parse import parse
from core.mail.tracking import pixel_of
from core.runtime import get_model
from core.web import dev_mail
from core.web.bodies import frame_height
from core.web.files import download
from core.web.guard import Allowed
from core.web.mail_document import mail_document, mail_response, pictures_of
from core.web.parameters import RecordId, Search
from core.web.view import render

router = APIRouter(prefix="/dev/mail", dependencies=[Depends(dev_mail.needs_dev_mailbox)])

_SOURCE_MAX_CHARS = 200_000
_Text = Annotated[str, Form(max_length=100_000)]
_Address = Annotated[str, Form(max_length=320)]


@router.get("")
async def mailbox(request: Request, access: Allowed, q: Search = "", to: str = "") -> Response:
    """List the newest caught mails."""
    return render(
        request,
        "dev_mailbox.html",
        mails=await dev_mail.caught(access, q),
        waiting=await get_model("Message").filter(send_state="Queued").count(),
        q=q,
        to=to,
        aliases=await dev_mail.aliases(),
    )


@router.post("/new")
async def write(
    access: Allowed,
    sender: _Address,
    to: _Address,
    text: _Text = "",
    subject: Annotated[str, Form(max_length=500)] = "",
) -> Response:
    """Write a new mail to an address of ours, as somebody outside."""
    return _to_inbound(await dev_mail.write(access, sender, to, subject, text))


@router.post("/clear")
async def clear(access: Allowed) -> Response:
    """Forget all mails."""
    await dev_mail.clear(access)
    return RedirectResponse("/dev/mail", 303)


@router.get("/{caught_id}")
async def mail_page(
    request: Request,
    caught_id: RecordId,
    access: Allowed,
    tab: Literal["html", "text", "headers", "source"] = "html",
) -> Response:
    """Show one mail."""
    mail = await dev_mail.find(access, caught_id)
    raw = bytes(mail.raw_mail)
    parsed = await asyncio.to_thread(parse, raw)
    message = await get_model("Message").get_or_none(id=mail.message_id) if mail.message_id else None
    return render(
        request,
        "dev_mail.html",
        mail=mail,
        parsed=parsed,
        message=message,
        record=await access.one_readable(message.res_model, message.res_id) if message else None,
        tab="text" if tab == "html" and parsed.html is None else tab,
        text=dev_mail.text_of(parsed),
        source=raw[:_SOURCE_MAX_CHARS].decode("utf-8", "replace"),
        height=await asyncio.to_thread(frame_height, parsed.html or ""),
        has_pixel=pixel_of(parsed.html or "") is not None,
    )


@router.get("/{caught_id}/body")
async def mail_body(caught_id: RecordId, access: Allowed) -> Response:
    """Show the HTML alone, for the frame."""
    parsed = parse(bytes((await dev_mail.find(access, caught_id)).raw_mail))
    pictures = pictures_of((file.content_id, file.content_type, file.content) for file in parsed.files)
    return mail_response(await asyncio.to_thread(mail_document, parsed.html or "", pictures))


@router.get("/{caught_id}/message.eml")
async def mail_file(caught_id: RecordId, access: Allowed) -> Response:
    """Save the bytes that SMTP would have carried."""
    mail = await dev_mail.find(access, caught_id)
    return download(bytes(mail.raw_mail), f"{mail.subject[:80] or 'message'}.eml", "message/rfc822")


@router.get("/{caught_id}/files/{index}")
async def attached_file(caught_id: RecordId, index: int, access: Allowed) -> Response:
    """Save one of a mail's files, counted from 0."""
    files = parse(bytes((await dev_mail.find(access, caught_id)).raw_mail)).files
    if not 0 <= index < len(files):
        raise UnknownName(f"This mail has no file {index}.")
    return download(files[index].content, files[index].name, files[index].content_type)


@router.post("/{caught_id}/open")
async def open_mail(request: Request, caught_id: RecordId, access: Allowed) -> Response:
    """Open a mail with its pictures, as its reader does."""
    mail = await dev_mail.open_as_reader(access, caught_id, request.app.state.hits)
    return RedirectResponse(f"/messages/{mail.message_id}", 303)


@router.post("/{caught_id}/{action}")
async def play(
    caught_id: RecordId,
    action: Literal["reply", "bounce", "auto-reply", "delivered", "read", "failed"],
    access: Allowed,
    recipient: _Address = "",
    text: _Text = "",
) -> Response:
    """Answer as a recipient, or as the recipient's server, machine or provider."""
    mail = await dev_mail.find(access, caught_id)
    came = await dev_mail.play(access, caught_id, action, recipient or None, text)
    if mail.channel == "email":
        return _to_inbound(came)
    return RedirectResponse(f"/messages/{came.pk if came else mail.message_id}", 303)


def _to_inbound(inbound: Any) -> Response:
    return RedirectResponse(f"/inbound/{inbound.pk}", 303)
