"""The list of what went out, goes out, or waits."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from core.errors import UnknownName
from core.web.guard import Allowed
from core.web.outbox import STATES, counts_by_state, lines
from core.web.pages.home import undrained
from core.web.parameters import Before
from core.web.view import render

router = APIRouter()


@router.get("/outbox")
async def outbox(request: Request, access: Allowed, state: str = "", before: Before = None) -> Response:
    """List outbound messages, all or those in one state."""
    if state and state not in STATES:
        raise UnknownName(f"There is no state {state}.")
    shown, older = await lines(access, state or None, before)
    counts = await counts_by_state(access)
    return render(
        request,
        "outbox.html",
        state=state,
        counts=counts,
        lines=shown,
        before=before,
        older=older,
        undrained=await undrained(),
    )
