"""A mail of our own, or one that has gone round too often, goes no further."""

from __future__ import annotations

from core.contributions import GatewayRule
from core.gateway.lookup import Lookup
from core.gateway.values import Ignore, Outcome, Pass, Received
from core.mail.guard import loop_reason, loop_tag
from core.runtime import settings

MAX_HOPS = 30


async def decide(email: Received, lookup: Lookup) -> Ignore | Pass:
    reason = next((reason for tag in loop_tags() if (reason := loop_reason(email.parsed, tag, MAX_HOPS))), None)
    if reason is None and email.sender and lookup.is_own(email.sender):
        reason = f"it comes from our own alias {email.sender}"
    return Ignore(Outcome.LOOP, reason) if reason else Pass("no mail of ours come back")


def loop_tags() -> tuple[str, ...]:
    """Return the tags that our mails carry in `LOOP_HEADER`: new ones the first, older ones the others."""
    return tuple(loop_tag(key.strip()) for key in settings().SECRET_KEY.get_secret_value().split(","))


RULE = GatewayRule("loop", 200, decide)
