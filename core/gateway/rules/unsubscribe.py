"""A mail to the address that a list's mail names for it (RFC 2369, section 3.2) takes its recipient off that list."""

from __future__ import annotations

from core.contributions import GatewayRule
from core.gateway.lookup import Lookup
from core.gateway.values import Pass, Received, Unsubscribed


async def decide(email: Received, lookup: Lookup) -> Unsubscribed | Pass:
    found = lookup.unsubscriptions(email)
    if not found:
        return Pass("no signed address to unsubscribe at")
    message_id, delivery_id = found[0]
    return Unsubscribed(message_id, delivery_id, f"it asks to be taken off the list of message {message_id}")


# Mail programs write these mails by themselves, so the rule stands before the one that sets automatic mail aside.
RULE = GatewayRule("unsubscribe", 250, decide)
