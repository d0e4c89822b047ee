"""Webhooks out: trying them, new secrets, and what became of their calls. They are made as other records are."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from core.access import Right
from core.runtime import get_model
from core.web.guard import Allowed, scope
from core.web.idempotency import keyed
from core.web.parameters import Before, RecordId
from core.web.records import PAGE
from core.web.route import ApiRoute

router = APIRouter(
    prefix="/api/webhooks", tags=["webhooks"], route_class=ApiRoute, dependencies=[Depends(scope("admin"))]
)


class Call(BaseModel):
    """One event that a webhook is told of; `event_id` is its header `webhook-id`."""

    id: int
    webhook_id: int
    event: str = Field(examples=["message.sent"])
    event_id: str
    state: str = Field(description="queued, sending, delivered or failed", examples=["delivered"])
    attempts: int
    due_at: datetime
    last_status: int | None
    last_error: str
    duration_ms: int | None
    created_at: datetime
    delivered_at: datetime | None
    payload: str = Field(description="The body, exactly as it is posted and signed.")


class Calls(BaseModel):
    """A page of calls, newest first; pass `next_before` as `before` for the next one."""

    items: list[Call]
    next_before: int | None


class NewSecret(BaseModel):
    """A secret, told this once. Until `old_secret_until` calls are signed with the old one as well."""

    secret: str = Field(examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
    old_secret_until: datetime


@router.post("/{webhook_id}/test", status_code=202, summary="Try a webhook")
async def test(webhook_id: RecordId, access: Allowed) -> Call:
    """Queue a call with the event `webhook.test`, and return it; its state says later whether it arrived."""
    webhook = await access.find("Webhook", webhook_id, Right.WRITE)
    return _shown(await webhook.test())


@router.post(
    "/{webhook_id}/rotate-secret",
    summary="Give a webhook a new secret",
    dependencies=[Depends(keyed("secret"))],
)
async def rotate_secret(webhook_id: RecordId, access: Allowed) -> NewSecret:
    """Make a new secret and return it. Calls are signed with both for a day, so no receiver misses one."""
    webhook = await access.find("Webhook", webhook_id, Right.WRITE)
    secret = await webhook.rotate_secret()
    return NewSecret(secret=secret, old_secret_until=webhook.old_secret_until)


@router.get("/{webhook_id}/calls", summary="See a webhook's calls")
async def calls(
    webhook_id: RecordId, access: Allowed, before: Before = None, limit: Annotated[int, Query(ge=1, le=200)] = PAGE
) -> Calls:
    """Return the calls that were made or wait."""
    await access.find("Webhook", webhook_id)
    rows = access.records("WebhookCall").filter(webhook_id=webhook_id)
    found = await (rows if before is None else rows.filter(id__lt=before)).order_by("-id").limit(limit + 1)
    page = found[:limit]
    return Calls(items=[_shown(one) for one in page], next_before=page[-1].pk if len(found) > limit else None)


@router.post("/calls/{call_id}/retry", status_code=202, summary="Make a call anew")
async def retry(call_id: RecordId, access: Allowed) -> Call:
    """Queue a call that has failed, or that arrived and is wanted again, under its old id."""
    call = await access.find("WebhookCall", call_id)
    await access.find("Webhook", call.webhook_id, Right.WRITE)
    await call.retry()
    return _shown(await get_model("WebhookCall").get(id=call.pk))


def _shown(call: Any) -> Call:
    return Call(**{name: getattr(call, name) for name in Call.model_fields})
