"""JSON about activities: what those inside have to do about a record, and by when."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body
from pydantic import BaseModel, ConfigDict, Field

from core.access import Access, Right
from core.errors import UnknownName
from core.runtime import get_model
from core.web.colleagues import colleagues
from core.web.guard import Allowed
from core.web.parameters import LinkedId, RecordId
from core.web.record_examples import ModelName
from core.web.record_read import Named, named
from core.web.route import ApiRoute
from core.web.timeline import find_with_timeline, require_inside

router = APIRouter(prefix="/api/records/{model}/{record_id}/activities", tags=["timelines"], route_class=ApiRoute)

_MOST_LISTED = 200


class ActivityEntry(BaseModel):
    """Something to do; `done_at` is null while it waits."""

    id: int
    kind: str
    summary: str
    note: str
    due_on: date
    assignee: Named | None
    done_at: datetime | None
    created_at: datetime


class ActivityList(BaseModel):
    """What is to be done, the most urgent first."""

    items: list[ActivityEntry]


class NewActivity(BaseModel):
    """Something that somebody has to do by a date; `assignee` is a user's id."""

    model_config = ConfigDict(extra="forbid")

    kind: str = Field("To do", min_length=1, max_length=64)
    due_on: date
    summary: str = Field("", max_length=255)
    note: str = Field("", max_length=100_000)
    assignee: LinkedId | None = None


@router.get("", summary="List what is to be done about a record")
async def list_activities(model: ModelName, record_id: RecordId, access: Allowed, done: bool = False) -> ActivityList:
    """Return what waits to be done, or with `done` what was, 200 at most."""
    require_inside(access)
    await find_with_timeline(access, model, record_id, Right.READ)
    rows = get_model("Activity").filter(res_model=model, res_id=record_id, done_at__isnull=not done)
    found = await rows.order_by("due_on", "id").limit(_MOST_LISTED).prefetch_related("assignee")
    return ActivityList(items=[_activity(row) for row in found])


@router.post("", status_code=201, summary="Give somebody something to do about a record")
async def add_activity(
    model: ModelName,
    record_id: RecordId,
    access: Allowed,
    activity: Annotated[
        NewActivity, Body(examples=[{"kind": "Call", "due_on": "2030-01-31", "summary": "Ask about the ladder"}])
    ],
) -> ActivityEntry:
    """Schedule an activity."""
    require_inside(access)
    record = await find_with_timeline(access, model, record_id, Right.WRITE)
    assignee = None
    if activity.assignee is not None:
        (assignee,) = await colleagues(access, [activity.assignee], "/assignee")
    added = await record.schedule_activity(
        activity.kind, activity.due_on, summary=activity.summary, note=activity.note, assignee=assignee
    )
    return _activity(await get_model("Activity").get(id=added.pk).prefetch_related("assignee"))


@router.post("/{activity_id}/complete", summary="Mark an activity as done")
async def complete_activity(
    model: ModelName, record_id: RecordId, activity_id: RecordId, access: Allowed
) -> ActivityEntry:
    """Mark an activity as done now; a second call changes nothing."""
    activity = await _find_activity(access, model, record_id, activity_id)
    await activity.finish()
    return _activity(activity)


@router.delete("/{activity_id}", status_code=204, summary="Take an activity back")
async def remove_activity(model: ModelName, record_id: RecordId, activity_id: RecordId, access: Allowed) -> None:
    """Delete an activity, done or not."""
    await (await _find_activity(access, model, record_id, activity_id)).delete()


async def _find_activity(access: Access, model: str, record_id: int, activity_id: int) -> Any:
    require_inside(access)
    await find_with_timeline(access, model, record_id, Right.WRITE)
    of_record = {"res_model": model, "res_id": record_id}
    activity = await get_model("Activity").get_or_none(id=activity_id, **of_record).prefetch_related("assignee")
    if activity is None:
        raise UnknownName(f"There is no activity {activity_id} on {model} {record_id}.")
    return activity


def _activity(row: Any) -> ActivityEntry:
    assignee = Named(**named(row.assignee)) if row.assignee is not None else None
    kept = ("id", "kind", "summary", "note", "due_on", "done_at", "created_at")
    return ActivityEntry(assignee=assignee, **{name: getattr(row, name) for name in kept})
