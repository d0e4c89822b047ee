"""Attached files, for those who may see what they hang on."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from core.access import Access
from core.errors import UnknownName
from core.runtime import get_model
from core.web.entries import visible_entries
from core.web.files import download
from core.web.guard import Allowed
from core.web.parameters import RecordId

router = APIRouter()


@router.get("/attachments/{attachment_id}")
async def attachment(attachment_id: RecordId, access: Allowed) -> Response:
    """Save a file."""
    file = await get_model("Attachment").get_or_none(id=attachment_id)
    if file is None or not await _may_see(access, file):
        raise UnknownName(f"There is no attachment {attachment_id}.")
    return download(bytes(file.content), file.name, file.content_type)


async def _may_see(access: Access, file: Any) -> bool:
    """A file on timeline entries is seen with one of them; one that hangs on a record alone, with that."""
    entries = await get_model("Message").filter(attachments__id=file.pk)
    if entries:
        return bool(await visible_entries(access, entries))
    if access.is_admin:
        return True
    return await access.one_readable(file.res_model, file.res_id) is not None
