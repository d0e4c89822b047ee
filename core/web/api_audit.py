"""JSON of the audit log, for administrators."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from core.web.audit_log import PAGE, Wanted, entries, wanted
from core.web.guard import Allowed, scope
from core.web.route import ApiRoute

router = APIRouter(prefix="/api/audit", tags=["audit"], route_class=ApiRoute, dependencies=[Depends(scope("admin"))])


class Entry(BaseModel):
    """One thing that somebody did; an empty login is the host itself, or nobody that it knows."""

    id: int
    at: datetime
    action: str
    login: str
    user_id: int | None
    token: str
    command: str
    model: str
    record_id: int | None
    record_name: str
    request_id: str
    address: str
    detail: dict[str, Any]


class Entries(BaseModel):
    """A page of entries; pass `next_before` as `before` for the next one, until it is null."""

    items: list[Entry]
    next_before: int | None


@router.get("", summary="Who did what, newest first")
async def audit_log(
    access: Allowed, asked: Annotated[Wanted, Depends(wanted)], limit: Annotated[int, Query(ge=1, le=200)] = PAGE
) -> Entries:
    """Return what was done, by action, login, record or request."""
    found, older = await entries(access, asked, limit)
    return Entries(items=[Entry.model_validate(one, from_attributes=True) for one in found], next_before=older)
