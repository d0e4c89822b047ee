"""A mail that refers to a known message belongs where that is, unless it is forwarded to an alias of another model.

In-Reply-To counts before References, and of those the newest (RFC 5322, section 3.6.4). Outlook's Thread-Index and
Thread-Topic count for nothing: they name no message, and anybody's subject is like another's.
"""

from __future__ import annotations

from core.contributions import GatewayRule
from core.gateway.lookup import Lookup, message_ids_of
from core.gateway.rules.forwarded import forwarded_to, names
from core.gateway.values import KnownMessage, Pass, Received, Reply


async def decide(email: Received, lookup: Lookup) -> Reply | Pass:
    ids = message_ids_of(email)
    if not ids:
        return Pass("it refers to no message")
    parent = lookup.by_message_id(ids)
    if parent is None:
        return Pass("it refers to no message that is known")
    if not parent.has_record:
        return Pass(f"{parent.record} is gone")
    others = await forwarded_to(email, parent, lookup)
    if others and not _is_written_to(email, parent, lookup):
        return Pass(f"it is forwarded to {names(others)}, which is not for {parent.res_model}")
    beside = f", and it goes to {names(others)} too" if others else ""
    return Reply(parent, f"it refers to {parent.message_id} of {parent.record}{beside}", others)


def _is_written_to(email: Received, parent: KnownMessage, lookup: Lookup) -> bool:
    """Whether an alias of the parent's own model is among the recipients."""
    routes = (lookup.route_of(mailbox.address) for mailbox in (*email.parsed.to, *email.parsed.cc))
    return any(route is not None and route.target_model == parent.res_model for route in routes)


RULE = GatewayRule("reply_reference", 600, decide)
