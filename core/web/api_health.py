"""JSON about the host itself: is it there?"""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from core.runtime import runtime
from core.web.route import ApiRoute

router = APIRouter(prefix="/api", tags=["host"], route_class=ApiRoute)


class Health(BaseModel):
    """The host answers, and so does its database."""

    status: str = "ok"


@router.get("/health", summary="Is the host up?")
async def health() -> Health:
    """Answer when the database answers; no login."""
    await runtime().database.fetch("SELECT 1")
    return Health()
