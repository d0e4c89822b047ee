"""Where would this mail go: the very same rules, with nothing written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

from core.errors import PostroomError
from core.gateway.account import account_of, without_record
from core.gateway.answer import answer_to
from core.gateway.authenticity import authenticated
from core.gateway.decide import decide
from core.gateway.lookup import Lookup, open_lookup
from core.gateway.receive import read_in_time
from core.gateway.spool import Spooled
from core.gateway.target import refusal_of, values_of
from core.gateway.values import Account, NewRecord, Received, Reply, Route, TraceStep, Verdict
from core.mail.authentication import Authentication
from core.mail.authentication import Verdict as Proof

_SHOWN_CHARS = 500
_SUPPOSED = Authentication(Proof.PASS, "Whoever asks supposes so.")


async def explain(raw: bytes, source: str | None = None, *, verified: bool | None = None) -> Account:
    """Return what would become of a mail that came now; nothing is written.

    With `verified`, as if its sender were proven; None finds out.
    """
    mail = Spooled(id=0, source=source or source_of(raw), tries=0, raw=raw)
    lookup = await open_lookup()
    received = await read_in_time([mail], lookup)
    if verified:
        email = replace(received[0], authentication=_SUPPOSED)
    else:
        (email,) = await authenticated(received, [mail])
    await lookup.prepare([email])
    verdict, trace = await decide(email, lookup)
    return await _foretold(verdict, email, trace, lookup)


def source_of(raw: bytes) -> str:
    """Return the delivery identity of a mail that comes by hand."""
    return f"load:{sha256(raw).hexdigest()}"


async def _foretold(verdict: Verdict, email: Received, trace: tuple[TraceStep, ...], lookup: Lookup) -> Account:
    """Return the account with the records' fields and the answer; unrouted where a record could not even be tried."""
    fields: dict[str, Mapping[str, str]] = {}
    for route in _routes(verdict):
        try:
            fields[route.alias] = _shown(await values_of(route, email, _contact_id(email, route, lookup)))
        except PostroomError as error:
            why = refusal_of(route, error)
            return replace(account_of(without_record(verdict, why), email, trace, lookup), error=why)
    answer = await answer_to(verdict, email, lookup)
    account = account_of(verdict, email, trace, lookup)
    return replace(account, fields=fields, answer=answer.words if answer else None)


def _routes(verdict: Verdict) -> tuple[Route, ...]:
    match verdict:
        case NewRecord(routes) | Reply(also=routes):
            return routes
    return ()


def _contact_id(email: Received, route: Route, lookup: Lookup) -> int | None:
    known = lookup.sender(email.sender, route.company_id)
    return known.contact_id if known else None


def _shown(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value)[:_SHOWN_CHARS] for name, value in values.items()}
