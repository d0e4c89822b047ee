"""What no rule knew what to do with waits for a person."""

from __future__ import annotations

from core.contributions import GatewayRule
from core.gateway.lookup import Lookup
from core.gateway.values import Received, Unmatched


async def decide(email: Received, lookup: Lookup) -> Unmatched:
    if not email.recipients:
        return Unmatched("it names no recipient")
    return Unmatched(f"no alias and no message is known for {', '.join(email.recipients[:5])}")


RULE = GatewayRule("unmatched", 1000, decide)
