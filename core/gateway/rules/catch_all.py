"""A mail to a domain that has a catch-all route, the alias `*`, creates a record there."""

from __future__ import annotations

from core.contributions import GatewayRule
from core.gateway.lookup import Lookup
from core.gateway.rules.policy import routed
from core.gateway.values import NewRecord, Received, Unmatched


async def decide(email: Received, lookup: Lookup) -> NewRecord | Unmatched | None:
    first = next((route for address in email.recipients if (route := lookup.catch_all_of(address))), None)
    return await routed(email, (first,) if first else (), lookup)


RULE = GatewayRule("catch_all", 800, decide)
