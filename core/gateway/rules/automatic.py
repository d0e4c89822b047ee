"""What a program wrote is kept and not dealt with; a delivery report is left to the rule for bounces.

A mail that only asks for no automatic answer goes on: people write through mailing lists too.
"""

from __future__ import annotations

from core.contributions import GatewayRule
from core.gateway.lookup import Lookup
from core.gateway.values import Ignore, Outcome, Pass, Received
from core.mail.automatic import no_answer_reason, program_reason


async def decide(email: Received, lookup: Lookup) -> Ignore | Pass:
    reason = program_reason(email.parsed)
    if reason and email.bounce:
        return Pass("it is a delivery report")
    if reason:
        return Ignore(Outcome.AUTOMATIC, reason)
    return Pass(no_answer_reason(email.parsed) or "no sign of a program")


RULE = GatewayRule("automatic", 300, decide)
