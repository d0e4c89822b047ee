"""The HTML of a message, alone, for a sandboxed frame."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from fastapi import APIRouter
from fastapi.responses import Response

from core.mail.parse import parse
from core.mail.quotation import split_reply_html
from core.web.entries import find_entry
from core.web.guard import Allowed
from core.web.mail_document import mail_document, mail_response, pictures_of
from core.web.parameters import RecordId

router = APIRouter()


@router.get("/messages/{message_id}/body")
async def message_body(
    message_id: RecordId,
    access: Allowed,
    part: Literal["new", "quoted", "whole", "sent"] = "whole",
    images: bool = False,
) -> Response:
    """Show a body, or one half of it; `sent` is what the recipients got, with branding and signature."""
    message = await find_entry(access, message_id)
    if part == "sent":
        mail = parse(await message.eml())
        html = mail.html or ""
        pictures = pictures_of((file.content_id, file.content_type, file.content) for file in mail.files)
    else:
        html = _part(message, part)
        pictures = pictures_of((file.content_id, file.content_type, file.content) for file in message.attachments)
    document = await asyncio.to_thread(mail_document, html, pictures, remote_images=images)
    return mail_response(document, remote_images=images)


def _part(message: Any, part: str) -> str:
    if part == "whole":
        return str(message.body)
    cut = split_reply_html(message.body)
    return cut.quoted if part == "quoted" else cut.new
