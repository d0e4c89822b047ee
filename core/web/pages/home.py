"""The first page: what waits, and for whom."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from core import clock
from core.access import Access
from core.events import announce
from core.orm.feed import Change
from core.runtime import get_model, settings
from core.web.dev_mail import aliases
from core.web.entries import visible_entries
from core.web.guard import Allowed
from core.web.live_page import live_page
from core.web.outbox import counts_by_state
from core.web.session import visit_of
from core.web.view import has_dev_mailbox, render, timeline_lists

router = APIRouter()

_PATIENCE = timedelta(minutes=1)
_MOST_NEWS = 20


@router.get("/")
async def home(request: Request, access: Allowed) -> Response:
    """Show what waits."""
    return render(
        request,
        "home.html",
        live=await live_page(access, "queue", "inbound", "cron", "notifications"),
        queue=await counts_by_state(access) if access.may("Message") else None,
        undrained=await undrained() if access.is_internal else 0,
        inbound=await _inbound(access),
        late=await _late_jobs(access),
        news=await _news(access),
        lists=timeline_lists(access),
        aliases=await aliases() if has_dev_mailbox() else [],
    )


@router.post("/news/read")
async def mark_read(request: Request) -> Response:
    """Mark all that the user was told as read."""
    user_id = visit_of(request).user.pk
    await get_model("Notification").filter(user_id=user_id, read_at=None).update(read_at=clock.now())
    await announce(Change(f"user:{user_id}"))
    return RedirectResponse("/", 303)


async def undrained() -> int:
    """Return how many mails are overdue, which means that no worker takes them."""
    if settings().MAIL_MODE == "hold":
        return 0
    due = get_model("Delivery").filter(state="queued", due_at__lt=clock.now() - _PATIENCE)
    return len(await due.limit(1000).values_list("id", flat=True))


async def _inbound(access: Access) -> dict[str, int] | None:
    if not access.may("InboundEmail"):
        return None
    rows = access.records("InboundEmail")
    return {state: await rows.filter(state=state).count() for state in ("received", "unmatched", "quarantined")}


async def _late_jobs(access: Access) -> list[Any]:
    if not access.may("CronJob"):
        return []
    late: list[Any] = await get_model("CronJob").filter(
        active=True, status="idle", next_run__lt=clock.now() - _PATIENCE
    ).order_by("next_run")  # fmt: skip
    return late


async def _news(access: Access) -> list[Any]:
    rows = await get_model("Notification").filter(user_id=access.user_id, read_at=None).order_by("-id").limit(
        _MOST_NEWS
    ).prefetch_related("message__author", "message__author_contact")  # fmt: skip
    return await visible_entries(access, [row.message for row in rows])
