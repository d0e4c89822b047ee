"""A filter that holds our mail until a person answers is shown to one: on the timeline, or among the unmatched."""

from __future__ import annotations

from core.contributions import GatewayRule
from core.gateway.about import about
from core.gateway.lookup import Lookup
from core.gateway.values import Noted, Outcome, Pass, Received, Unmatched
from core.mail.notice import Challenge


async def decide(email: Received, lookup: Lookup) -> Noted | Unmatched | Pass:
    challenge = email.notice
    if not isinstance(challenge, Challenge):
        return Pass("no challenge")
    found = about(email, lookup)
    if found is None:
        return Unmatched(f"{challenge.reason}; which mail, it does not say", Outcome.CHALLENGE)
    return Noted(found.message, Outcome.CHALLENGE, f"{challenge.reason}; {found.how}", challenge, found.origin)


RULE = GatewayRule("challenge", 430, decide)
