"""What a program wrote is no reply: it is noted under the message that it answers, or set aside.

Reports, receipts and challenges are left to their own rules. A mail that only asks for no automatic answer goes on:
people write through mailing lists too.
"""

from __future__ import annotations

from core.contributions import GatewayRule
from core.gateway.about import about
from core.gateway.lookup import Lookup
from core.gateway.values import Ignore, Noted, Outcome, Pass, Received
from core.mail.complaint import Complaint
from core.mail.notice import Challenge
from core.mail.receipt import Receipt
from core.mail.values import Bounce

_KINDS = {Bounce: "a delivery report", Complaint: "a complaint", Receipt: "a read receipt", Challenge: "a challenge"}


async def decide(email: Received, lookup: Lookup) -> Noted | Ignore | Pass:
    if email.notice is not None:
        return Pass(f"it is {_KINDS[type(email.notice)]}")
    reason = email.program
    if reason is None:
        return Pass(email.no_answer or "no sign of a program")
    found = about(email, lookup)
    if found is None or not found.message.has_record:
        return Ignore(Outcome.AUTOMATIC, reason)
    return Noted(found.message, Outcome.AUTOMATIC, f"{reason}; {found.how}", origin=found.origin)


RULE = GatewayRule("automatic", 300, decide)
