"""Who may write to an alias. A From address is no proof: what rests on it is refused where it could be forged at gain.

Whether a sender is verified is found before (`core.gateway.authenticity`). Much honest mail cannot be verified: then
contacts from elsewhere are taken at their word, users are not. Where TRUSTED_AUTHSERV_ID is set, nobody is.
"""

from __future__ import annotations

from collections.abc import Sequence

from core.gateway.lookup import Lookup
from core.gateway.values import NewRecord, Received, Route, Unmatched
from core.mail.address import domain_of
from core.mail.authentication import Verdict
from core.runtime import settings


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
    if not email.authentication.is_verified and not _can_go_unverified(email, route, sender.is_user, lookup):
        return f"{route.alias} does not take mail whose sender is not verified: {email.authentication.reason}"
    if route.sender_policy == "staff" and not sender.is_user:
        return f"{route.alias} takes mail from users only"
    if route.sender_policy == "followers" and not await lookup.follows(sender.contact_id, route.target_model):
        return f"{route.alias} takes mail only from who follows a {route.target_model}"
    return None


def _can_go_unverified(email: Received, route: Route, is_user: bool, lookup: Lookup) -> bool:
    """Whether a contact is taken at its word: no user, not from here, and nobody says that it is forged."""
    return (
        not settings().TRUSTED_AUTHSERV_ID
        and email.authentication.verdict is not Verdict.FAIL
        and route.sender_policy != "staff"
        and not is_user
        and domain_of(email.sender) not in lookup.domains
    )
