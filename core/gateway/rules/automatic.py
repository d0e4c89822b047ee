"""An automatic reply is kept and not dealt with; a delivery report is left to the rule for bounces."""

from __future__ import annotations

from core.contributions import GatewayRule
from core.gateway.lookup import Lookup
from core.gateway.values import Ignore, Outcome, Pass, Received
from core.mail.guard import automatic_reason


async def decide(email: Received, lookup: Lookup) -> Ignore | Pass | None:
    reason = automatic_reason(email.parsed)
    if reason and email.bounce:
        return Pass("it is a delivery report")
    return Ignore(Outcome.AUTOMATIC, reason) if reason else None


RULE = GatewayRule("automatic", 300, decide)
