"""A mail to an alias creates a record for each alias it goes to, if its sender may write there."""

from __future__ import annotations

from core.contributions import GatewayRule
from core.gateway.lookup import Lookup
from core.gateway.rules.policy import routed
from core.gateway.values import NewRecord, Pass, Received, Unmatched


async def decide(email: Received, lookup: Lookup) -> NewRecord | Unmatched | Pass:
    found = {route.id: route for address in email.recipients if (route := lookup.route_of(address))}
    if not found:
        return Pass("no alias among the recipients")
    return await routed(email, tuple(found.values()), lookup)


RULE = GatewayRule("alias", 700, decide)
