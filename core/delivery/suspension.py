"""Stopping the queue as a whole: the one switch that the claim and the mark before the content both look at.

While it is set nothing is sent, by the worker, the cron, `send_now` or the command line; queueing goes on.
"""

from __future__ import annotations

from typing import Any

import structlog

from core.audit import audit
from core.delivery.engine import TOPIC
from core.events import announce, ring
from core.orm.feed import Change
from core.runtime import acting_user, get_model, settings

log = structlog.get_logger(__name__)


async def suspend_queue(reason: str = "") -> None:
    """Send nothing from now on but what a server has in hand; a second call only gives another reason."""
    user = acting_user()
    await get_model("QueueSuspension").update_or_create(
        name="queue", defaults={"reason": reason, "user_id": getattr(user, "pk", None)}
    )
    await audit("queue_suspended", reason=reason)
    await announce(Change("queue", ("Suspended",)))
    log.warning("queue suspended", reason=reason, user=getattr(user, "login", ""))


async def resume_queue() -> bool:
    """Send again; return whether the queue had been suspended."""
    ended = bool(await get_model("QueueSuspension").all().delete())
    if ended:
        await audit("queue_resumed")
        log.warning("queue resumed", user=getattr(acting_user(), "login", ""))
        await ring(TOPIC)
        await announce(Change("queue", ("Resumed",)))
    return ended


async def suspension() -> Any:
    """Return the QueueSuspension, or None while the queue runs."""
    return await get_model("QueueSuspension").get_or_none(name="queue").prefetch_related("user")


async def what_stops() -> str:
    """Return why nothing is sent at all, in a sentence; empty while mail is sent."""
    if settings().MAIL_MODE == "hold":
        return "MAIL_MODE is hold: nothing is sent."
    row = await suspension()
    return f"The queue is suspended: {row.reason or 'no reason given'}." if row else ""
