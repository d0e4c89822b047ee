"""A template on a real record: what would be sent, and to whom, before it is; in any language."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from core.access import Access, Right
from core.errors import UnknownName
from core.mail.address import tolerant_addresses
from core.runtime import get_model, runtime, settings
from core.web.bodies import frame_height
from core.web.guard import Allowed
from core.web.mail_document import mail_document, mail_response
from core.web.parameters import Identifier, RecordId
from core.web.session import visit_of
from core.web.view import render

router = APIRouter(prefix="/records/{model}/{record_id}/template/{identifier}")
Locale = Annotated[str, Query(max_length=32, pattern=r"^[A-Za-z0-9_-]*$")]
"""A language to show a text in; empty is the recipient's."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What is shown: `made` is a TemplatePreview of the template on the record."""

    record: Any
    template: Any
    made: Any
    recipients: list[str]


@router.get("")
async def preview(
    request: Request, model: str, record_id: RecordId, identifier: Identifier, access: Allowed, locale: Locale = ""
) -> Response:
    """Show the mail with its recipients."""
    shown = await preview_of(request, access, model, record_id, identifier, locale)
    height = frame_height(shown.made.texts["content"])
    languages = ("en", *runtime().renderer.catalogues.locales, *(one.language for one in shown.template.variants))
    return render(
        request,
        "template_preview.html",
        model=model,
        shown=shown,
        height=height,
        locale=locale,
        languages=sorted({*languages, locale} - {""}),
    )


@router.get("/body")
async def preview_body(
    request: Request, model: str, record_id: RecordId, identifier: Identifier, access: Allowed, locale: Locale = ""
) -> Response:
    """Show the body alone, for the frame."""
    shown = await preview_of(request, access, model, record_id, identifier, locale)
    return mail_response(await asyncio.to_thread(mail_document, shown.made.texts["content"]))


@router.post("")
async def send(request: Request, model: str, record_id: RecordId, identifier: Identifier, access: Allowed) -> Response:
    """Queue the mail, with its report, in its recipient's language; it can be taken back for a moment."""
    record = await access.find(model, record_id, Right.WRITE)
    undo_s = settings().UNDO_SECONDS
    message = await record.send_template(identifier, author=visit_of(request).user, undo_s=undo_s)
    return RedirectResponse(f"/records/{model}/{record_id}#entry-{message.id}", 303)


async def preview_of(
    request: Request, access: Access, model: str, record_id: int, identifier: str, locale: str
) -> Preview:
    """Render a template for a record that the user may write to; UnknownName where either is not there."""
    record = await access.find(model, record_id, Right.WRITE)
    template = await get_model("EmailTemplate").get_or_none(
        identifier=identifier, active=True, model__identifier=model
    ).prefetch_related("report", "variants")  # fmt: skip
    if template is None or not hasattr(record, "send_template"):
        raise UnknownName(f'There is no template "{identifier}" for {model}.')
    made = await template.preview(record, locale=locale or None)
    named = [mailbox.address for name in ("to_email", "cc_email") for mailbox in tolerant_addresses(made.texts[name])]
    if not template.to_email.strip():
        named = [*await record.message_recipients(visit_of(request).user), *named]
    return Preview(record, template, made, list(dict.fromkeys(named)))
