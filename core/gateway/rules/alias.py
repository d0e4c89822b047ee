"""A mail to an alias creates a record for each alias it goes to, if its sender may write there."""

from __future__ import annotations

from dataclasses import replace

from core.contributions import GatewayRule
from core.gateway.lookup import Lookup, message_ids_of
from core.gateway.rules.policy import routed
from core.gateway.values import NewRecord, Pass, Received, Route, Unmatched


async def decide(email: Received, lookup: Lookup) -> NewRecord | Unmatched | Pass:
    found: dict[int, Route] = {}
    for address in lookup.entrances(email):
        if route := lookup.route_of(address):
            found.setdefault(route.id, route)
    if not found:
        return Pass("no alias among the recipients")
    return await admitted(email, tuple(found.values()), lookup)


async def admitted(email: Received, routes: tuple[Route, ...], lookup: Lookup) -> NewRecord | Unmatched:
    """Return the records that the routes create of the mail, with the message that it refers to; or who refused it."""
    verdict = await routed(email, routes, lookup)
    if isinstance(verdict, Unmatched):
        return replace(verdict, refused=tuple(route.alias for route in routes))
    about = lookup.by_message_id(message_ids_of(email))
    if about is None or not about.has_record:
        return verdict
    return replace(verdict, about=about, reason=f"{verdict.reason}; it refers to {about.record}")


RULE = GatewayRule("alias", 700, decide)
