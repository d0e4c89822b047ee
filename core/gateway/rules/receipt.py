"""A read receipt belongs to the message it speaks of; one that speaks of none of ours is set aside."""

from __future__ import annotations

from core.contributions import GatewayRule
from core.gateway.about import about
from core.gateway.lookup import Lookup
from core.gateway.values import Ignore, Noted, Outcome, Pass, Received
from core.mail.receipt import Receipt


async def decide(email: Received, lookup: Lookup) -> Noted | Ignore | Pass:
    receipt = email.notice
    if not isinstance(receipt, Receipt):
        return Pass("no read receipt")
    found = about(email, lookup)
    if found is None:
        return Ignore(Outcome.RECEIPT, "it is a receipt for a mail that is none of ours")
    return Noted(found.message, Outcome.RECEIPT, found.how, receipt, found.origin)


RULE = GatewayRule("receipt", 420, decide)
