"""A mail that refers to a known message belongs where that is, unless it goes to an alias of another model."""

from __future__ import annotations

from core.contributions import GatewayRule
from core.gateway.lookup import Lookup, message_ids_of
from core.gateway.values import KnownMessage, Pass, Received, Reply, Route


async def decide(email: Received, lookup: Lookup) -> Reply | Pass:
    ids = message_ids_of(email)
    if not ids:
        return Pass("it refers to no message")
    parent = lookup.by_message_id(ids)
    if parent is None:
        return Pass("it refers to no message that is known")
    if not parent.has_record:
        return Pass(f"{parent.record} is gone")
    if other := _forwarded_to(email, parent, lookup):
        return Pass(f"it is forwarded to {other.alias}, which is not for {parent.res_model}")
    return Reply(parent, f"it refers to {parent.message_id} of {parent.record}")


def _forwarded_to(email: Received, parent: KnownMessage, lookup: Lookup) -> Route | None:
    routes = (lookup.route_of(mailbox.address) for mailbox in email.parsed.to)
    return next((route for route in routes if route and route.target_model != parent.res_model), None)


RULE = GatewayRule("reply_reference", 600, decide)
