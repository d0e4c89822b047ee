"""The HTML of a message, alone, for a sandboxed frame; and whose pictures a user always sees."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form
from fastapi.responses import RedirectResponse, Response

from core.errors import UserError
from core.mail.parse import parse
from core.mail.quotation import split_reply_html
from core.runtime import get_model
from core.web.bodies import is_forward, sender_of
from core.web.entries import find_entry
from core.web.guard import Allowed
from core.web.mail_document import mail_document, mail_response, pictures_of
from core.web.parameters import RecordId

router = APIRouter(prefix="/messages/{message_id}/body")

_Part = Literal["new", "quoted", "whole", "sent"]


@router.get("")
async def message_body(message_id: RecordId, access: Allowed, part: _Part = "whole", images: bool = False) -> Response:
    """Show a body, or one half of it; `sent` is what the recipients got, with branding and signature."""
    message = await find_entry(access, message_id)
    sent = await message.eml() if part == "sent" else b""
    document = await asyncio.to_thread(_document, message, part, sent, images)
    return mail_response(document, remote_images=images)


@router.post("/pictures")
async def remember_sender(message_id: RecordId, access: Allowed, always: Annotated[bool, Form()] = False) -> Response:
    """Always show the pictures of this mail's sender to this user, or no longer."""
    message = await find_entry(access, message_id)
    sender = sender_of(message)
    if not sender:
        raise UserError("Nothing proves who this mail is from, so its pictures are shown one mail at a time.")
    mine = {"user_id": access.user_id, "address": sender}
    if always:
        await get_model("PictureSender").get_or_create(**mine)
    else:
        await get_model("PictureSender").filter(**mine).delete()
    where = f"/records/{message.res_model}/{message.res_id}#entry-" if message.res_model else "/messages/"
    return RedirectResponse(f"{where}{message_id}", 303)


def _document(message: Any, part: _Part, sent: bytes, images: bool) -> str:
    if part == "sent":
        mail = parse(sent)
        pictures = pictures_of((file.content_id, file.content_type, file.content) for file in mail.files)
        return mail_document(mail.html or "", pictures, remote_images=images)
    html = str(message.body)
    if part != "whole":
        cut = split_reply_html(html, is_forward=is_forward(message))
        html = cut.quoted if part == "quoted" else cut.new
    pictures = pictures_of((file.content_id, file.content_type, file.content) for file in message.attachments)
    return mail_document(html, pictures, remote_images=images)
