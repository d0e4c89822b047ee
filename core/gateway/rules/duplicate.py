"""A mail that was dealt with before, come by another way or a second time, is not dealt with again."""

from __future__ import annotations

from core.contributions import GatewayRule
from core.gateway.lookup import Lookup
from core.gateway.values import Duplicate, Pass, Received


async def decide(email: Received, lookup: Lookup) -> Duplicate | Pass:
    original = lookup.earlier_copy(email)
    if original is None:
        return Pass("first copy")
    return Duplicate(original, f"the same mail is number {original} of the spool")


RULE = GatewayRule("duplicate", 100, decide)
