"""What was fetched for a mail account, and no rule before knew what to do with, is its team's to read."""

from __future__ import annotations

from core.contributions import GatewayRule
from core.gateway.lookup import Lookup
from core.gateway.values import Ignore, Outcome, Pass, Received
from core.runtime import get_model


async def decide(email: Received, lookup: Lookup) -> Ignore | Pass:
    is_stored = email.spool_id and await get_model("Mail").filter(inbound_id=email.spool_id).exists()
    if not is_stored:
        return Pass("it was fetched for no mail account")
    return Ignore(Outcome.STORED, "it is in the storage of the mail account that it was fetched for")


RULE = GatewayRule("mail_account", 890, decide)
