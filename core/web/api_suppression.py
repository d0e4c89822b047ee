"""JSON about whom no mail goes to: asking, adding, removing."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from core.access import Right
from core.mail.suppression import COLUMNS
from core.runtime import get_model
from core.web.guard import Allowed
from core.web.parameters import Before, RecordId, Search
from core.web.records import PAGE
from core.web.route import ApiRoute

router = APIRouter(prefix="/api/suppression", tags=["suppression"], route_class=ApiRoute)
_Line = Annotated[str, Field(max_length=255, pattern=r"^[^\x00-\x1f]*$")]


class SuppressionEntry(BaseModel):
    """One reason not to write to one address; an empty `list` is all mail, `*` every list."""

    id: int
    address: str
    list: str
    reason: str
    source: str
    note: str
    expires_at: datetime | None
    created_at: datetime


class SuppressionPage(BaseModel):
    """A page of entries; pass `next_before` as `before` for the next one, until it is null."""

    items: list[SuppressionEntry]
    next_before: int | None


class NewSuppression(BaseModel):
    """Whom to write to no more."""

    model_config = ConfigDict(extra="forbid")

    address: Annotated[str, Field(max_length=320)]
    list: _Line = ""
    note: _Line = ""
    expires_at: AwareDatetime | None = None


class Suppressed(BaseModel):
    """Whether an address is not written to, and why."""

    suppressed: bool
    reason: str | None


@router.get("", summary="Suppressed addresses, newest first")
async def entries(access: Allowed, q: Search = "", before: Before = None) -> SuppressionPage:
    """List entries whose address holds `q`."""
    rows = access.records("Suppression").filter(address__icontains=q.strip())
    if before is not None:
        rows = rows.filter(id__lt=before)
    found: list[dict[str, Any]] = await rows.order_by("-id").limit(PAGE + 1).values("id", *COLUMNS)
    page = [SuppressionEntry(**row) for row in found[:PAGE]]
    return SuppressionPage(items=page, next_before=page[-1].id if len(found) > PAGE else None)


@router.get("/check", summary="Is an address written to?")
async def check(
    access: Allowed,
    address: Annotated[str, Query(max_length=320)] = "",
    of_list: Annotated[str | None, Query(alias="list", max_length=255)] = None,
) -> Suppressed:
    """Answer as the queue would, for mail of `list` or for mail that is no list's."""
    access.require("Suppression")
    reason = (await get_model("Suppression").suppressed([(0, address, of_list)])).get(0)
    return Suppressed(suppressed=reason is not None, reason=reason)


@router.post("", status_code=201, summary="Write to an address no more")
async def add(access: Allowed, entry: NewSuppression) -> Suppressed:
    """Add an entry by hand; the same one again changes its words."""
    access.require("Suppression", Right.CREATE)
    await get_model("Suppression").suppress(
        entry.address, reason="manual", list=entry.list, source="api", note=entry.note, expires_at=entry.expires_at
    )
    return Suppressed(suppressed=True, reason="manual")


@router.delete("/{entry_id}", status_code=204, summary="Remove an entry")
async def remove(access: Allowed, entry_id: RecordId) -> None:
    """Remove one entry; the address is written to again where it was the only one."""
    entry = await access.find("Suppression", entry_id, Right.DELETE)
    await get_model("Suppression").unsuppress(entry.address, list=entry.list, reason=entry.reason)
