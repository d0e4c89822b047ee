"""JSON about who follows a record: whom its messages are told to.

Everybody may follow, and cease to, what they may read; whom else to let follow takes the right to change the record.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Body
from pydantic import BaseModel, ConfigDict

from core.access import Access, Right
from core.runtime import get_model
from core.web.guard import Allowed
from core.web.parameters import LinkedId, RecordId
from core.web.record_examples import ModelName
from core.web.record_faults import invalid
from core.web.record_read import Named, named
from core.web.route import ApiRoute
from core.web.timeline import find_with_timeline

router = APIRouter(prefix="/api/records/{model}/{record_id}/followers", tags=["timelines"], route_class=ApiRoute)


class FollowerEntry(BaseModel):
    """Who follows, why, and since when."""

    contact: Named
    reason: str
    since: datetime


class FollowerList(BaseModel):
    """All who follow a record, in the order in which they came."""

    items: list[FollowerEntry]


class NewFollower(BaseModel):
    """Whom to let follow: a contact's id, or null for the caller's own contact."""

    model_config = ConfigDict(extra="forbid")

    contact: LinkedId | None = None


@router.get("", summary="List who follows a record")
async def list_followers(model: ModelName, record_id: RecordId, access: Allowed) -> FollowerList:
    """Return the followers: to those outside, only themselves."""
    await find_with_timeline(access, model, record_id, Right.READ)
    rows = get_model("Follower").filter(res_model=model, res_id=record_id).order_by("id").prefetch_related("contact")
    if not access.is_internal:
        rows = rows.filter(contact_id=access.contact_id)
    return FollowerList(
        items=[
            FollowerEntry(contact=Named(**named(row.contact)), reason=row.reason, since=row.created_at)
            for row in await rows
        ]
    )


@router.post("", status_code=204, summary="Let somebody follow a record")
async def add_follower(
    model: ModelName,
    record_id: RecordId,
    access: Allowed,
    follower: Annotated[NewFollower, Body(examples=[{"contact": 1}])],
) -> None:
    """Let a contact, or the caller, be told of a record's messages; a second call changes nothing."""
    contact_id = _own_contact(access) if follower.contact is None else follower.contact
    record = await find_with_timeline(access, model, record_id, _right_to_follow(access, contact_id))
    contact = await access.one_readable("Contact", contact_id) if contact_id != access.contact_id else None
    if contact is None and contact_id != access.contact_id:
        raise invalid("/contact", f"There is no Contact {contact_id}.")
    await record.follow(contact or await get_model("Contact").get(id=contact_id))


@router.delete("/{contact_id}", status_code=204, summary="Let somebody follow a record no longer")
async def remove_follower(model: ModelName, record_id: RecordId, contact_id: RecordId, access: Allowed) -> None:
    """Tell a contact of a record's messages no longer; nothing changes where it did not follow."""
    await find_with_timeline(access, model, record_id, _right_to_follow(access, contact_id))
    await get_model("Follower").filter(res_model=model, res_id=record_id, contact_id=contact_id).delete()


def _right_to_follow(access: Access, contact_id: int) -> Right:
    return Right.READ if contact_id == access.contact_id else Right.WRITE


def _own_contact(access: Access) -> int:
    if access.contact_id is None:
        raise invalid("/contact", "is missing, and your user has no contact; an administrator can give it one")
    return access.contact_id
