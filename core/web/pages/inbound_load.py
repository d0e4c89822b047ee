"""Bringing mails in by hand: `.eml` files and mbox files, through the spool and the rules like any other mail."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, File, Request, UploadFile
from fastapi.responses import Response

from core.access import Right
from core.runtime import get_model
from core.web.guard import Allowed
from core.web.view import render
from core.web.words import OUTCOMES

router = APIRouter(prefix="/inbound")

_AT_ONCE = 20
"""What became of so many is shown at once; further ones are dealt with by a worker."""


@router.get("/load")
async def load_page(request: Request, access: Allowed) -> Response:
    """Ask for files."""
    access.require("InboundEmail", Right.CREATE)
    return render(request, "inbound_load.html", loaded=None, words=OUTCOMES)


@router.post("/load")
async def load(request: Request, access: Allowed, files: Annotated[list[UploadFile] | None, File()] = None) -> Response:
    """Bring the mails of some files in, and show what became of them."""
    access.require("InboundEmail", Right.CREATE)
    loaded = await get_model("InboundEmail").load([upload.file for upload in files or ()], _AT_ONCE)
    return render(request, "inbound_load.html", loaded=loaded, words=OUTCOMES)
