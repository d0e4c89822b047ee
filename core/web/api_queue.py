"""JSON about the host itself: is it there, and what its queue holds."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from core.runtime import runtime
from core.web.guard import Allowed
from core.web.outbox import counts_by_state
from core.web.route import ApiRoute

router = APIRouter(prefix="/api", tags=["host"], route_class=ApiRoute)


class Health(BaseModel):
    """The host answers, and so does its database."""

    status: str = "ok"


class QueueStats(BaseModel):
    """Outbound messages by state."""

    counts: dict[str, int]
    total: int


@router.get("/health", summary="Is the host up?")
async def health() -> Health:
    """Answer when the database answers; no login."""
    await runtime().database.fetch("SELECT 1")
    return Health()


@router.get("/email/queue/stats", summary="Outbound messages by state")
async def queue_stats(access: Allowed) -> QueueStats:
    """Return the counts that the outbox shows."""
    counts = await counts_by_state(access)
    return QueueStats(counts={state.lower(): count for state, count in counts.items()}, total=sum(counts.values()))
