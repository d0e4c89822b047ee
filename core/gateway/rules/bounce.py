"""A delivery report belongs to the message it speaks of; one that speaks of none of ours is set aside."""

from __future__ import annotations

from core.contributions import GatewayRule
from core.gateway.lookup import Lookup
from core.gateway.values import Bounced, Ignore, Outcome, Pass, Received


async def decide(email: Received, lookup: Lookup) -> Bounced | Ignore | Pass:
    report = email.bounce
    if report is None:
        return Pass("no delivery report")
    for origin in lookup.origins(email):
        if message := lookup.by_row_id(origin.message_id):
            return Bounced(message, report, f"its signed return path leads to {message.record}", origin)
    by_token = lookup.by_token((*lookup.bounce_tokens(email), *lookup.reply_tokens(email)))
    original = report.original_message_id
    found = by_token or lookup.by_message_id((original,) if original else ())
    if found is None or found.direction != "Outbound":
        return Ignore(Outcome.BOUNCE, "it reports on a mail that is none of ours")
    how = "its recipient's token" if by_token else f"the original's Message-ID {original}"
    return Bounced(found, report, f"{how} leads to {found.record}; nothing proves it")


RULE = GatewayRule("bounce", 400, decide)
