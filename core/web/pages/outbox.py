"""The list of what went out, goes out, or waits."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from core.access import Right
from core.errors import UnknownName
from core.runtime import get_model
from core.web.guard import Allowed
from core.web.live_page import live_page
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
    live = await live_page(access, "queue")
    shown, older = await lines(access, state or None, before)
    counts = await counts_by_state(access)
    return render(
        request,
        "outbox.html",
        live=live,
        state=state,
        counts=counts,
        lines=shown,
        before=before,
        older=older,
        undrained=await undrained(),
        suspension=await get_model("QueueSuspension").current(),
        may_suspend=access.is_admin,
    )


@router.post("/outbox/suspend")
async def suspend(access: Allowed, reason: Annotated[str, Form(max_length=500)] = "") -> Response:
    """Send nothing any more, by whatever path; for administrators."""
    access.require("QueueSuspension", Right.CREATE)
    await get_model("QueueSuspension").suspend(reason)
    return RedirectResponse("/outbox", 303)


@router.post("/outbox/resume")
async def resume(access: Allowed) -> Response:
    """Send again."""
    access.require("QueueSuspension", Right.DELETE)
    await get_model("QueueSuspension").resume()
    return RedirectResponse("/outbox", 303)
