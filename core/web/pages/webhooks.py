"""The webhooks: who is told of what, how that goes, trying one and making failed calls anew."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from core.access import Right
from core.web.guard import Allowed
from core.web.parameters import RecordId
from core.web.view import render

router = APIRouter(prefix="/webhooks")

_MOST_CALLS = 50


@router.get("")
async def webhook_list(request: Request, access: Allowed) -> Response:
    """List the webhooks with their state and what to do about it."""
    webhooks = await access.records("Webhook").order_by("name")
    return render(request, "webhooks.html", webhooks=webhooks, may_write=access.may("Webhook", Right.WRITE))


@router.get("/{webhook_id:int}")
async def webhook(request: Request, webhook_id: RecordId, access: Allowed) -> Response:
    """Show one webhook with its latest calls."""
    found = await access.find("Webhook", webhook_id)
    calls = await access.records("WebhookCall").filter(webhook_id=found.pk).order_by("-id").limit(_MOST_CALLS)
    may_write = access.may("Webhook", Right.WRITE)
    return render(request, "webhook.html", webhook=found, calls=calls, may_write=may_write)


@router.post("/{webhook_id:int}/test")
async def test(webhook_id: RecordId, access: Allowed) -> Response:
    """Queue a call that only shows that it arrives."""
    await (await access.find("Webhook", webhook_id, Right.WRITE)).test()
    return RedirectResponse(f"/webhooks/{webhook_id}", 303)


@router.post("/{webhook_id:int}/switch")
async def switch(webhook_id: RecordId, access: Allowed) -> Response:
    """Switch a webhook on or off; what waits is told once it is on again."""
    found = await access.find("Webhook", webhook_id, Right.WRITE)
    found.active = not found.active
    await found.save()
    return RedirectResponse(f"/webhooks/{webhook_id}", 303)


@router.post("/calls/{call_id}/retry")
async def retry(call_id: RecordId, access: Allowed) -> Response:
    """Make a call anew."""
    call = await access.find("WebhookCall", call_id)
    await access.find("Webhook", call.webhook_id, Right.WRITE)
    await call.retry()
    return RedirectResponse(f"/webhooks/{call.webhook_id}", 303)
