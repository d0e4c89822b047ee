"""Attached files, for those who may see what they hang on."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from core.web.attached import find_file
from core.web.files import send_file
from core.web.guard import Allowed
from core.web.parameters import RecordId

router = APIRouter()


@router.get("/attachments/{attachment_id}")
async def attachment(request: Request, attachment_id: RecordId, access: Allowed) -> Response:
    """Save a file."""
    return send_file(request, await find_file(access, id=attachment_id))
