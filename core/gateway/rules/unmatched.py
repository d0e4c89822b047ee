"""What no rule knew what to do with waits for a person."""

from __future__ import annotations

from difflib import get_close_matches

from core.contributions import GatewayRule
from core.gateway.lookup import CATCH_ALL, Lookup
from core.gateway.values import Received, Unmatched
from core.mail.address import normalised
from core.mail.thread import alias_of

_SHOWN = 5


async def decide(email: Received, lookup: Lookup) -> Unmatched:
    if not email.recipients:
        return Unmatched("it names no recipient")
    shown = ", ".join(email.recipients[:_SHOWN])
    # The addresses of replies and reports are not spoken of: whether such a one was ever given, nobody is told.
    wrong = [one for one in email.recipients if lookup.owns_domain_of(one) and not lookup.is_own(one)]
    return Unmatched(
        f"no alias and no message is known for {shown}{_hint(wrong, lookup)}",
        refused=tuple(dict.fromkeys(map(normalised, wrong)))[:_SHOWN],
    )


def _hint(wrong: list[str], lookup: Lookup) -> str:
    """Return the alias that was meant, as far as spelling tells."""
    known = [route.address for route in lookup.routes if route.address != CATCH_ALL]
    near = (get_close_matches(alias_of(one)[0][:64], known, n=1, cutoff=0.7) for one in wrong[:_SHOWN])
    found = next((match[0] for match in near if match), None)
    return f"; {found} is spelt much like it" if found else ""


RULE = GatewayRule("unmatched", 1000, decide)
