"""A mail to a reply address belongs where the message with its token is."""

from __future__ import annotations

from core.contributions import GatewayRule
from core.gateway.lookup import Lookup
from core.gateway.values import Pass, Received, Reply


async def decide(email: Received, lookup: Lookup) -> Reply | Pass:
    tokens = lookup.reply_tokens(email)
    if not tokens:
        return Pass("no reply token among the recipients")
    parent = lookup.by_token(tokens)
    if parent is None:
        return Pass("nobody was ever given this reply address")
    if not parent.has_record:
        return Pass(f"{parent.record} is gone")
    return Reply(parent, f"its reply address leads to {parent.record}")


RULE = GatewayRule("reply_token", 500, decide)
