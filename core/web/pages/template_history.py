"""What a template said before: its versions, the differences between them, and the way back."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from core.access import Access, Right
from core.errors import UnknownName
from core.web.guard import Allowed
from core.web.parameters import Identifier
from core.web.view import render

router = APIRouter(prefix="/templates/{identifier}/history")
_Number = Annotated[int | None, Query(ge=1, le=2**31 - 1)]


@router.get("")
async def history(
    request: Request, identifier: Identifier, access: Allowed, old: _Number = None, new: _Number = None
) -> Response:
    """List the versions; with `old`, show what changed from then until `new`, or until now."""
    template = await _template(access, identifier, Right.READ)
    access.require("EmailTemplateVersion")
    versions = await template.history()
    changes = await template.diff(old, new) if old is not None else None
    return render(
        request,
        "template_history.html",
        of=template,
        versions=versions,
        old=old,
        new=new,
        changes=changes if changes is None else changes.splitlines(),
        may_restore=access.may("EmailTemplate", Right.WRITE),
    )


@router.post("")
async def restore(
    identifier: Identifier, access: Allowed, number: Annotated[int, Form(ge=1, le=2**31 - 1)]
) -> Response:
    """Make the template say again what it said."""
    template = await _template(access, identifier, Right.WRITE)
    await template.restore(number)
    return RedirectResponse(f"/templates/{quote(identifier, safe='')}/history", 303)


async def _template(access: Access, identifier: str, right: Right) -> Any:
    template = await access.records("EmailTemplate", right).get_or_none(identifier=identifier)
    if template is None:
        raise UnknownName(f'There is no template "{identifier}".')
    return template
