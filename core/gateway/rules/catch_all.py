"""A mail to a domain that has a catch-all route, the alias `*`, creates a record there."""

from __future__ import annotations

from core.contributions import GatewayRule
from core.gateway.lookup import Lookup
from core.gateway.rules.alias import admitted
from core.gateway.values import NewRecord, Pass, Received, Unmatched


async def decide(email: Received, lookup: Lookup) -> NewRecord | Unmatched | Pass:
    first = next((route for address in email.recipients if (route := lookup.catch_all_of(address))), None)
    if first is None:
        return Pass("no catch-all at the recipients' domains")
    return await admitted(email, (first,), lookup)


RULE = GatewayRule("catch_all", 800, decide)
