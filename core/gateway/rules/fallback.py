"""What nothing else took goes to the alias that FALLBACK_ALIAS names, if one does."""

from __future__ import annotations

from core.contributions import GatewayRule
from core.gateway.lookup import Lookup
from core.gateway.rules.alias import admitted
from core.gateway.values import NewRecord, Pass, Received, Unmatched
from core.runtime import settings


async def decide(email: Received, lookup: Lookup) -> NewRecord | Unmatched | Pass:
    alias = settings().FALLBACK_ALIAS.strip()
    if not alias:
        return Pass("no FALLBACK_ALIAS is set")
    if lookup.reply_tokens(email):
        return Pass("it was meant for one thread alone")
    route = lookup.route_of(alias if "@" in alias else f"{alias}@{lookup.own_domain}")
    if route is None:
        return Pass(f"FALLBACK_ALIAS is {alias}, and no active route has that alias")
    return await admitted(email, (route,), lookup)


RULE = GatewayRule("fallback", 900, decide)
