"""A mail that was dealt with before, come by another way or a second time, is not dealt with again."""

from __future__ import annotations

from core.contributions import GatewayRule
from core.gateway.lookup import Lookup
from core.gateway.values import Duplicate, Received


async def decide(email: Received, lookup: Lookup) -> Duplicate | None:
    original = lookup.earlier_copy(email)
    return None if original is None else Duplicate(original, f"the same mail is number {original} of the spool")


RULE = GatewayRule("duplicate", 100, decide)
