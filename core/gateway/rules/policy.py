"""Who may write to an alias. A From address is no proof: what rests on it is refused where it could be forged at gain.

With TRUSTED_AUTHSERV_ID set, a sender counts as verified when that server's own Authentication-Results (RFC 8601) say
`dmarc=pass`. Without it nobody is verified: then contacts from elsewhere are taken at their word, users are not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from core.gateway.lookup import Lookup
from core.gateway.values import NewRecord, Received, Route, Unmatched
from core.mail.address import domain_of, tolerant_addresses
from core.runtime import settings

_DMARC = re.compile(r";\s*dmarc\s*=\s*(\w+)([^;]*)")
_FROM_DOMAIN = re.compile(r"\bheader\.from\s*=\s*([^\s;]+)")
_QUOTED_OR_COMMENT = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*"|\([^()"]*+\)')
_MOST_NESTED = 5


async def routed(email: Received, routes: Sequence[Route], lookup: Lookup) -> NewRecord | Unmatched:
    """Return a record for each route that takes the sender; unmatched where none does."""
    refusals = {route.id: await _refusal(email, route, lookup) for route in routes}
    open_to = tuple(route for route in routes if not refusals[route.id])
    told = [refusals[route.id] or f"{route.alias} creates a {route.target_model}" for route in routes]
    if open_to:
        return NewRecord(open_to, "; ".join(told))
    return Unmatched("; ".join(told))


async def _refusal(email: Received, route: Route, lookup: Lookup) -> str | None:
    """Say why the sender may not write to the route, or return None."""
    if route.sender_policy == "everyone":
        return None
    sender = lookup.sender(email.sender)
    if sender is None or not sender.active:
        return f"{route.alias} does not take mail from strangers"
    if not is_verified(email) and not _can_go_unverified(email, route, sender.is_user, lookup):
        return f"{route.alias} does not take mail whose sender is not verified"
    if route.sender_policy == "staff" and not sender.is_user:
        return f"{route.alias} takes mail from users only"
    if route.sender_policy == "followers" and not await lookup.follows(sender.contact_id, route.target_model):
        return f"{route.alias} takes mail only from who follows a {route.target_model}"
    return None


def is_verified(email: Received) -> bool:
    """Whether the server that we trust says that the From address is genuine."""
    trusted = settings().TRUSTED_AUTHSERV_ID.lower()
    if not trusted or not _has_one_author(email):
        return False
    # Only the topmost counts: what stands below may have come with the mail.
    plain = _bare(next(iter(email.parsed.headers_named("Authentication-Results")), "")).lower()
    if plain.partition(";")[0].split()[:1] != [trusted]:
        return False
    found = _DMARC.findall(plain)
    domains = {domain_of(f"@{one}") for _, rest in found for one in _FROM_DOMAIN.findall(rest)}
    return {result for result, _ in found} == {"pass"} and domains <= {domain_of(email.sender)}


def _has_one_author(email: Received) -> bool:
    """Whether there is no second From that our server may have looked at instead."""
    authors = email.parsed.headers_named("From")
    return len(authors) == 1 and len(tolerant_addresses(authors[0])) == 1


def _bare(results: str) -> str:
    """Return the header without comments and quoted strings, in which a sender's own words may stand; or nothing."""
    for _ in range(_MOST_NESTED):
        results = _QUOTED_OR_COMMENT.sub(" ", results)
    return "" if set('"()') & set(results) else results


def _can_go_unverified(email: Received, route: Route, is_user: bool, lookup: Lookup) -> bool:
    nobody_verifies = not settings().TRUSTED_AUTHSERV_ID
    return (
        nobody_verifies
        and route.sender_policy != "staff"
        and not is_user
        and domain_of(email.sender) not in lookup.domains
    )
