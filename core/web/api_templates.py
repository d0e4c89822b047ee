"""JSON about templates: what one makes of a record, and all that is wrong with it. Nothing is sent."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import BaseModel

from core.web.guard import Allowed
from core.web.pages.template_preview import Locale, preview_of
from core.web.parameters import Identifier, RecordId
from core.web.route import ApiRoute

router = APIRouter(prefix="/api/records", tags=["templates"], route_class=ApiRoute)


class TemplateFault(BaseModel):
    """What a strict render found; `line` and `column` count from 1 and are null where they are not known."""

    source: str
    line: int | None
    column: int | None
    excerpt: str
    message: str


class RenderedTemplate(BaseModel):
    """A mail as it would be sent: `texts` by field name, `missing` the names that came out blank."""

    texts: dict[str, str]
    recipients: list[str]
    locale: str
    language: str
    missing: list[str]
    faults: list[TemplateFault]


@router.get("/{model}/{record_id}/template/{identifier}", summary="Preview a template on a record")
async def preview(
    request: Request, model: str, record_id: RecordId, identifier: Identifier, access: Allowed, locale: Locale = ""
) -> RenderedTemplate:
    """Return what a template makes of a record, in the recipient's language or in `locale`."""
    shown = await preview_of(request, access, model, record_id, identifier, locale)
    return RenderedTemplate(
        texts=dict(shown.made.texts),
        recipients=shown.recipients,
        locale=shown.made.locale,
        language=shown.made.language,
        missing=list(shown.made.missing),
        faults=[
            TemplateFault(source=one.source, line=one.line, column=one.column, excerpt=one.excerpt, message=one.reason)
            for one in shown.made.faults
        ],
    )
