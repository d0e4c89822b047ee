"""Bringing mails in by hand: `.eml` files and mbox files, through the spool and the rules like any other mail."""

from __future__ import annotations

import asyncio
from typing import Annotated, BinaryIO

from fastapi import APIRouter, File, Request, UploadFile
from fastapi.responses import Response

from core.access import Right
from core.gateway.explain import source_of
from core.gateway.intake import take_in
from core.gateway.load import bring_in, mails_in
from core.gateway.values import Account
from core.runtime import settings
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
    return render(request, "inbound_load.html", accounts=[], later=0, known=0, too_large=[], words=OUTCOMES)


@router.post("/load")
async def load(request: Request, access: Allowed, files: Annotated[list[UploadFile] | None, File()] = None) -> Response:
    """Bring the mails of some files in, and show what became of them."""
    access.require("InboundEmail", Right.CREATE)
    accounts: list[Account] = []
    later = known = 0
    too_large: list[str] = []
    for upload in files or ():
        for raw in await asyncio.to_thread(_all, upload.file):
            if raw is None:
                too_large.append(upload.filename or "a file")
            elif raw and len(accounts) < _AT_ONCE:
                accounts.append(await bring_in(raw))
            elif raw:
                is_new = await take_in(raw, source_of(raw)) is not None
                later, known = later + is_new, known + (not is_new)
    return render(
        request,
        "inbound_load.html",
        accounts=accounts,
        later=later,
        known=known,
        too_large=too_large,
        words=OUTCOMES,
    )


def _all(file: BinaryIO) -> list[bytes | None]:
    """Return the mails of a file, which is no larger than a request may be."""
    return list(mails_in(file, settings().MAX_MAIL_BYTES))
