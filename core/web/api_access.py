"""JSON about rights, for administrators: why a user may do something, or may not."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict

from core.access import Right
from core.access.explain import explain
from core.errors import AccessDenied
from core.web.guard import Allowed, scope
from core.web.parameters import LARGEST, NO_NUL
from core.web.route import ApiRoute

router = APIRouter(prefix="/api/access", tags=["access"], route_class=ApiRoute, dependencies=[Depends(scope("admin"))])


class AccessStep(BaseModel):
    """One thing that was asked (user, group, model, company, rule, whole, owner, note, field), and its answer."""

    model_config = ConfigDict(from_attributes=True)

    asked: str
    allows: bool
    reason: str


class AccessExplanation(BaseModel):
    """Whether a user may; `steps` are all that was asked, `fields` those that it may not, whatever the record."""

    model_config = ConfigDict(from_attributes=True)

    login: str
    model: str
    record_id: int | None
    right: Right
    allows: bool
    verdict: str
    steps: list[AccessStep]
    fields: list[AccessStep]


@router.get("/explain", summary="Say why a user may do something, or may not")
async def explain_access(
    access: Allowed,
    login: Annotated[str, Query(max_length=320, pattern=NO_NUL, examples=["anna@example.org"])],
    model: Annotated[str, Query(max_length=100, pattern=NO_NUL, examples=["CrmLead"])],
    record_id: Annotated[int | None, Query(alias="id", ge=0, le=LARGEST)] = None,
    right: Right = Right.READ,
) -> AccessExplanation:
    """Name every group, company, rule and gate that is asked, with its answer."""
    if not access.is_admin:
        raise AccessDenied("Only administrators may ask what others may do.")
    return AccessExplanation.model_validate(await explain(login, model, record_id, right), from_attributes=True)
