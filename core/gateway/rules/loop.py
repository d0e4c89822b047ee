"""A mail of our own, or one that goes round in a circle, goes no further.

Own mail is known by its tag, its envelope sender or its From; a circle by the servers passed, by X-Loop, and by a
second delivery to the same address of ours (RFC 5321, section 6.3).
"""

from __future__ import annotations

from core.contributions import GatewayRule
from core.gateway.lookup import Lookup
from core.gateway.values import Ignore, Outcome, Pass, Received
from core.mail.address import normalised, tolerant_addresses
from core.mail.guard import loop_reason, loop_tag
from core.mail.trace_headers import repeated_delivery
from core.runtime import settings


async def decide(email: Received, lookup: Lookup) -> Ignore | Pass:
    reason = _marked(email) or _own(email, lookup) or _round(email, lookup)
    return Ignore(Outcome.LOOP, reason) if reason else Pass("no mail of ours come back")


def loop_tags() -> tuple[str, ...]:
    """Return the tags that our mails carry in `LOOP_HEADER`: new ones the first, older ones the others."""
    return tuple(loop_tag(key.strip()) for key in settings().SECRET_KEY.get_secret_value().split(","))


def _marked(email: Received) -> str | None:
    hops = settings().LOOP_HOPS
    return next((reason for tag in loop_tags() if (reason := loop_reason(email.parsed, tag, hops))), None)


def _own(email: Received, lookup: Lookup) -> str | None:
    if email.sender and lookup.is_own(email.sender):
        return f"it comes from our own alias {email.sender}"
    envelope_sender = email.parsed.return_path
    if envelope_sender and lookup.is_system(envelope_sender):
        return f"its envelope sender is our own {normalised(envelope_sender)}"
    return None


def _round(email: Received, lookup: Lookup) -> str | None:
    named = [mailbox.address for line in email.parsed.headers_named("X-Loop") for mailbox in tolerant_addresses(line)]
    if own := next((normalised(address) for address in named if lookup.is_own(address)), None):
        return f"its X-Loop says that it passed our {own}"
    if own := next((address for address in repeated_delivery(email.parsed) if lookup.is_own(address)), None):
        return f"it was delivered to {own} before, and came round again"
    return None


RULE = GatewayRule("loop", 200, decide)
