"""A template on a real record: what would be sent, and to whom, before it is."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from core.access import Access, Right
from core.errors import TemplateError, UnknownName
from core.mail.address import tolerant_addresses
from core.runtime import get_model
from core.web.guard import Allowed
from core.web.mail_document import mail_document, mail_response
from core.web.parameters import Identifier, RecordId
from core.web.session import visit_of
from core.web.timeline import frame_height
from core.web.view import render

router = APIRouter(prefix="/records/{model}/{record_id}/template/{identifier}")


@dataclass(frozen=True, slots=True)
class _Preview:
    record: Any
    template: Any
    rendered: dict[str, str]
    recipients: list[str]
    blank: str
    """What the template asks for that is not there, and so is left blank; empty where nothing is."""


@router.get("")
async def preview(
    request: Request, model: str, record_id: RecordId, identifier: Identifier, access: Allowed
) -> Response:
    """Show the mail with its recipients."""
    shown = await _preview(request, access, model, record_id, identifier)
    height = frame_height(shown.rendered["content"])
    return render(request, "template_preview.html", model=model, shown=shown, height_px=height)


@router.get("/body")
async def preview_body(
    request: Request, model: str, record_id: RecordId, identifier: Identifier, access: Allowed
) -> Response:
    """Show the body alone, for the frame."""
    shown = await _preview(request, access, model, record_id, identifier)
    return mail_response(await asyncio.to_thread(mail_document, shown.rendered["content"]))


@router.post("")
async def send(request: Request, model: str, record_id: RecordId, identifier: Identifier, access: Allowed) -> Response:
    """Queue the mail, with its report."""
    record = await access.find(model, record_id, Right.WRITE)
    message = await record.send_template(identifier, author=visit_of(request).user)
    return RedirectResponse(f"/records/{model}/{record_id}#entry-{message.id}", 303)


async def _preview(request: Request, access: Access, model: str, record_id: int, identifier: str) -> _Preview:
    record = await access.find(model, record_id, Right.WRITE)
    template = await get_model("EmailTemplate").get_or_none(
        identifier=identifier, active=True, model__identifier=model
    ).prefetch_related("report")  # fmt: skip
    if template is None or not hasattr(record, "send_template"):
        raise UnknownName(f'There is no template "{identifier}" for {model}.')
    rendered = await template.render_for(record)
    named = [mailbox.address for name in ("to_email", "cc_email") for mailbox in tolerant_addresses(rendered[name])]
    if not rendered["to_email"]:
        named = [*await record.message_recipients(visit_of(request).user), *named]
    return _Preview(record, template, rendered, list(dict.fromkeys(named)), await _blank(template, record))


async def _blank(template: Any, record: Any) -> str:
    try:
        await template.render_for(record, strict=True)
    except TemplateError as error:
        return str(error)
    return ""
