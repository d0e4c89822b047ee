"""A mail that was dealt with before, come by another way or a second time, is not dealt with again.

Known by its content: anybody can send another mail with the same Message-ID (SECURITY I4). Both deliveries stay in the
log.
"""

from __future__ import annotations

from core.contributions import GatewayRule
from core.gateway.lookup import Lookup
from core.gateway.spool import original_of
from core.gateway.values import Duplicate, Pass, Received


async def decide(email: Received, lookup: Lookup) -> Duplicate | Pass:
    if original_of(email.source) is not None:
        return Pass("a person asked for it once more")
    copy = lookup.earlier_copy(email)
    if copy is None:
        return Pass("first copy")
    led_to = f", which led to {copy.record}" if copy.record else ""
    return Duplicate(copy.spool_id, f"the same mail is number {copy.spool_id} of the spool{led_to}", copy.record)


RULE = GatewayRule("duplicate", 100, decide)
