"""A mail to a reply address belongs where the message with its token is.

What it is written to beside, an alias of another model, gets it too. An address that nobody was ever given is not told
apart from any other that leads nowhere (SECURITY I1).
"""

from __future__ import annotations

from core.contributions import GatewayRule
from core.gateway.lookup import Lookup
from core.gateway.rules.forwarded import forwarded_to, names
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
    also = await forwarded_to(email, parent, lookup)
    beside = f", and it goes to {names(also)} too" if also else ""
    return Reply(parent, f"its reply address leads to {parent.record}{beside}", also)


RULE = GatewayRule("reply_token", 500, decide)
