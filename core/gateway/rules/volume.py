"""A sender that got through by one of our addresses too often within an hour waits for a person.

So two machines that answer each other, without any mark that the other rules know, come to an end. Nothing is lost: the
mails are kept with the reason, and go on by a press.
"""

from __future__ import annotations

from core.contributions import GatewayRule
from core.gateway.lookup import Lookup, counts
from core.gateway.values import Outcome, Pass, Received, Unmatched
from core.runtime import settings


async def decide(email: Received, lookup: Lookup) -> Unmatched | Pass:
    most = settings().LOOP_MAILS_PER_HOUR
    door, times = lookup.times_lately(email) if most and counts(email) else ("", 0)
    if not times or times < most:
        return Pass(f"its sender wrote {times} times within an hour" if times else "its sender does not write often")
    return Unmatched(
        f"{email.sender} wrote {times} times to {door} within an hour, and LOOP_MAILS_PER_HOUR is {most}: "
        "two machines may be answering each other",
        Outcome.LOOP,
    )


RULE = GatewayRule("volume", 450, decide)
