"""What the rules for replies share: the aliases of other models that a reply is written to."""

from __future__ import annotations

from core.gateway.lookup import Lookup
from core.gateway.rules.policy import routed
from core.gateway.values import KnownMessage, NewRecord, Received, Route


async def forwarded_to(email: Received, parent: KnownMessage, lookup: Lookup) -> tuple[Route, ...]:
    """Return the routes to other models than the parent's that To and Cc name, and that take mail of this sender."""
    routes = (lookup.route_of(mailbox.address) for mailbox in (*email.parsed.to, *email.parsed.cc))
    others = {route.id: route for route in routes if route and route.target_model != parent.res_model}
    if not others:
        return ()
    verdict = await routed(email, tuple(others.values()), lookup)
    return verdict.routes if isinstance(verdict, NewRecord) else ()


def names(routes: tuple[Route, ...]) -> str:
    """Return the aliases for a sentence."""
    return ", ".join(route.alias for route in routes)
