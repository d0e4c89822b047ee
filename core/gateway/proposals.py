"""Where a mail that matched nothing may belong: what a person is offered to choose from. Reads only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from core.access import Access
from core.gateway.lookup import CATCH_ALL, open_lookup
from core.gateway.values import Route
from core.mail.address import normalised
from core.mail.thread import alias_of
from core.mail.values import IncomingEmail
from core.pattern import pattern
from core.runtime import get_model

_MOST = 5
_LOOKED_AT = 30
_PREFIX = pattern(r"(?:(?:re|aw|fwd?|wg|sv|vs|antw|rif|odp|tr)(?:\[\d{1,3}\])?\s?:\s{0,5}){1,20}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A record that the mail may be about, and what speaks for it."""

    model: str
    record: Any
    why: str


@dataclass(frozen=True, slots=True)
class Proposals:
    """Records, the likeliest first, and routes, the one whose alias is spelt most alike first."""

    records: tuple[Proposal, ...]
    routes: tuple[Route, ...]


async def proposals_for(email: IncomingEmail, access: Access) -> Proposals:
    """Return what the mail may belong to, as far as the user may read it."""
    found: dict[tuple[str, int], str] = {}
    for why, rows in (("The same subject", _of_subject(email)), ("The sender's last", _of_sender(email))):
        for model, record_id in await rows if rows is not None else ():
            found.setdefault((model, record_id), why)
    records = await access.readable(found)
    shown = [
        Proposal(model, records[model, record_id], why)
        for (model, record_id), why in found.items()
        if (model, record_id) in records
    ]
    return Proposals(tuple(shown[:_MOST]), _routes(email, (await open_lookup()).routes, access))


def _of_subject(email: IncomingEmail) -> Any:
    """Return a query for records of mails with the same subject, but for what replies put before it."""
    subject = _PREFIX.sub("", email.subject, count=1).strip()
    if len(subject) < 4:
        return None
    return _records(subject__in=[subject, *(f"{prefix}: {subject}" for prefix in ("Re", "RE", "Fwd", "AW"))])


def _of_sender(email: IncomingEmail) -> Any:
    """Return a query for records that the sender wrote about, or was written to about."""
    if email.sender is None:
        return None
    return _records(author_contact__email=normalised(email.sender.address))


def _records(**condition: Any) -> Any:
    messages = get_model("Message").filter(res_model__isnull=False, res_id__isnull=False, **condition)
    return messages.order_by("-id").limit(_LOOKED_AT).values_list("res_model", "res_id")


def _routes(email: IncomingEmail, routes: tuple[Route, ...], access: Access) -> tuple[Route, ...]:
    written = [alias_of(mailbox.address)[0][:64] for mailbox in email.recipients[:_MOST]]

    def likeness(route: Route) -> float:
        return max((SequenceMatcher(None, route.address, one).ratio() for one in written), default=0.0)

    companies = {route.company_id for route in routes} if access.is_admin else {None, *access.company_ids}
    open_to = [route for route in routes if access.may(route.target_model) and route.company_id in companies]
    return tuple(sorted(open_to, key=lambda route: (route.address == CATCH_ALL, -likeness(route))))
