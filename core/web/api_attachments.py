"""JSON about the files of a record: those that hang on it, and those on its timeline. `api_files` has their bytes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel
from tortoise.expressions import Q, Subquery

from core.runtime import get_model
from core.web.api_files import StoredFile, stored_file
from core.web.attached import visible_files
from core.web.guard import Allowed
from core.web.parameters import Before, RecordId
from core.web.record_examples import ModelName
from core.web.route import ApiRoute

router = APIRouter(prefix="/api/records/{model}/{record_id}/attachments", tags=["timelines"], route_class=ApiRoute)

_MOST_LISTED = 200


class FilePage(BaseModel):
    """A page of files, newest first; pass `next_before` as `before` for the next one."""

    items: list[StoredFile]
    next_before: int | None


@router.get("", summary="List the files of a record")
async def list_attachments(
    model: ModelName,
    record_id: RecordId,
    access: Allowed,
    before: Before = None,
    limit: Annotated[int, Query(ge=1, le=_MOST_LISTED)] = 50,
) -> FilePage:
    """Return the files that hang on a record or on its timeline, without their bytes."""
    await access.find(model, record_id)
    of_record: dict[str, Any] = {"res_model": model, "res_id": record_id}
    files = get_model("Attachment")
    of_entries = files.filter(messages__res_model=model, messages__res_id=record_id).values("id")
    rows = files.without_content().filter(Q(Q(**of_record), Q(id__in=Subquery(of_entries)), join_type=Q.OR))
    if before is not None:
        rows = rows.filter(id__lt=before)
    found = await rows.order_by("-id").limit(limit + 1)
    shown = await visible_files(access, found[:limit])
    return FilePage(
        items=[stored_file(one) for one in shown], next_before=found[limit - 1].pk if len(found) > limit else None
    )
