"""A delivery report belongs to the message it speaks of; one that speaks of none of ours is set aside."""

from __future__ import annotations

from core.contributions import GatewayRule
from core.gateway.about import about
from core.gateway.lookup import Lookup
from core.gateway.values import Bounced, Ignore, Outcome, Pass, Received


async def decide(email: Received, lookup: Lookup) -> Bounced | Ignore | Pass:
    report = email.bounce
    if report is None:
        return Pass("no delivery report")
    found = about(email, lookup)
    if found is None:
        return Ignore(Outcome.BOUNCE, "it reports on a mail that is none of ours")
    return Bounced(found.message, report, found.how, found.origin)


RULE = GatewayRule("bounce", 400, decide)
