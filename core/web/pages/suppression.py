"""Whom no mail goes to: a list to search, add to, take from, and carry as CSV."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Request, UploadFile
from fastapi.responses import RedirectResponse, Response

from core.access import Access, Right
from core.errors import PostroomError
from core.mail.suppression import COLUMNS, Reason, read_file, write_file
from core.runtime import get_model
from core.web.files import download
from core.web.guard import Allowed
from core.web.parameters import Before, RecordId, Search
from core.web.records import PAGE
from core.web.view import render

router = APIRouter(prefix="/suppression")

_Line = Annotated[str, Form(max_length=255)]


@router.get("")
async def suppressions(request: Request, access: Allowed, q: Search = "", before: Before = None) -> Response:
    """List the entries, newest first."""
    return await _page(request, access, q=q, before=before)


@router.post("/add")
async def add(
    request: Request,
    access: Allowed,
    address: Annotated[str, Form(max_length=320)],
    of_list: Annotated[str, Form(alias="list", max_length=255)] = "",
    note: _Line = "",
) -> Response:
    """Write to an address no more."""
    access.require("Suppression", Right.CREATE)
    try:
        await get_model("Suppression").suppress(
            address, reason=Reason.MANUAL, list=of_list.strip(), source="page", note=note
        )
    except PostroomError as error:
        return await _page(request, access, error=str(error), typed=address)
    return RedirectResponse("/suppression", 303)


@router.post("/{entry_id}/remove")
async def remove(entry_id: RecordId, access: Allowed) -> Response:
    """Take an entry away."""
    entry = await access.find("Suppression", entry_id, Right.DELETE)
    await get_model("Suppression").unsuppress(entry.address, list=entry.list, reason=entry.reason)
    return RedirectResponse("/suppression", 303)


@router.get("/export.csv")
async def export(access: Allowed) -> Response:
    """Save all entries."""
    rows = await access.records("Suppression").order_by("id").values(*COLUMNS)
    return download(write_file(rows).encode(), "suppression.csv", "text/csv")


@router.post("/import")
async def load(request: Request, access: Allowed, file: Annotated[UploadFile | None, File()] = None) -> Response:
    """Add all entries of a file, or none where a line is wrong."""
    access.require("Suppression", Right.CREATE)
    try:
        entries = read_file((await file.read()).decode("utf-8", "replace") if file else "")
        await get_model("Suppression").suppress_all(entries)
    except PostroomError as error:
        return await _page(request, access, error=str(error))
    return RedirectResponse("/suppression", 303)


async def _page(
    request: Request,
    access: Access,
    *,
    q: str = "",
    before: int | None = None,
    error: str = "",
    typed: str = "",
) -> Response:
    rows = access.records("Suppression").filter(address__icontains=q.strip())
    if before is not None:
        rows = rows.filter(id__lt=before)
    found: list[Any] = await rows.order_by("-id").limit(PAGE + 1)
    page = found[:PAGE]
    return render(
        request,
        "suppression.html",
        status=422 if error else 200,
        entries=[(entry, Reason(entry.reason).words) for entry in page],
        q=q,
        before=before,
        older=page[-1].id if len(found) > PAGE else None,
        error=error,
        typed=typed,
        may_add=access.may("Suppression", Right.CREATE),
        may_remove=access.may("Suppression", Right.DELETE),
        refusals=await _refusals(access),
    )


async def _refusals(access: Access) -> list[Any]:
    if not access.may("WebhookRefusal"):
        return []
    newest: list[Any] = await get_model("WebhookRefusal").all().order_by("-last_at").limit(5)
    return newest
