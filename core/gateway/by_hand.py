"""What a person decides about a mail that the rules led nowhere: which record it is about, which route makes one of it,
or that nobody wants it.

It goes the same way as a rule's verdict, and the trace keeps what the rules had said. Nothing is deleted.
"""

from __future__ import annotations

from typing import Any

from core import clock
from core.access import Right, access_of
from core.errors import UnknownName, UserError
from core.gateway import spool
from core.gateway.lookup import Lookup, open_lookup
from core.gateway.receive import settle_as
from core.gateway.values import Account, KnownMessage, NewRecord, Outcome, Received, Reply, TraceStep, Verdict
from core.runtime import acting_user, get_model

RULE = "person"
_REASON_CHARS = 500


async def assign(spool_id: int, model: str, record_id: int) -> Account:
    """Put a mail on the timeline of a record.

    Raises UnknownName for a record that is not there, or not for the acting user; UserError for a mail that became
    something already.
    """
    record = await _record(model, record_id)
    about = KnownMessage(
        id=0,
        message_id=None,
        token=None,
        res_model=model,
        res_id=record.pk,
        kind="message",
        direction="Internal",
        company_id=getattr(record, "company_id", None),
    )
    return await _settle(spool_id, Reply(about, f"{_who()} put it on {model}:{record_id}"))


async def create(spool_id: int, route_id: int) -> Account:
    """Let a route make a record of a mail, whoever sent it; UserError says why it cannot."""
    route = next((one for one in (await open_lookup()).routes if one.id == route_id), None)
    if route is None:
        raise UnknownName(f"There is no active route {route_id}.")
    return await _settle(spool_id, NewRecord((route,), f"{_who()} let {route.alias} create a {route.target_model}"))


async def discard(spool_id: int, reason: str = "") -> None:
    """Say that nobody need look at a mail any more; it stays, whole, with who said so and why."""
    why = f"{_who()} discarded it{': ' if reason.strip() else ''}{' '.join(reason.split())[:_REASON_CHARS]}"
    token, _ = await _take(spool_id)
    rows = get_model("InboundEmail").filter(id=spool_id, lease_token=token)
    trace = [*(await rows.get()).trace, {"rule": RULE, "hit": True, "reason": why}]
    await rows.update(
        state="discarded",
        outcome=Outcome.DISCARDED,
        trace=trace,
        settled_at=clock.now(),
        settled_by_id=_user_id(),
        lease_token=None,
        lease_until=None,
    )
    await spool.tell_states("discarded")


async def _settle(spool_id: int, verdict: Verdict) -> Account:
    token, mail = await _take(spool_id)
    rows = get_model("InboundEmail").filter(id=spool_id)
    before = (await rows.first()).trace

    async def chosen(email: Received, lookup: Lookup) -> tuple[Verdict, tuple[TraceStep, ...]]:
        del email, lookup
        return verdict, (*(TraceStep(**step) for step in before), TraceStep(RULE, hit=True, reason=verdict.reason))

    try:
        account = await settle_as(token, mail, chosen)
    finally:
        await spool.give_back(token)
    await rows.update(settled_at=clock.now(), settled_by_id=_user_id())
    return account


async def _take(spool_id: int) -> tuple[str, spool.Spooled]:
    taken = await spool.take(spool_id)
    if taken is not None:
        return taken
    row = await get_model("InboundEmail").get_or_none(id=spool_id)
    if row is None:
        raise UnknownName(f"There is no mail {spool_id} in the spool.")
    if row.state == "processed":
        raise UserError(f"Mail {spool_id} became a {row.outcome} already.")
    raise UserError(f"Mail {spool_id} is being dealt with just now; look at it in a minute.")


async def _record(model: str, record_id: int) -> Any:
    """Return the record, with a timeline, that the acting user may write on; the system itself may on any."""
    if not hasattr(get_model(model), "post_message"):
        raise UserError(f"{model} has no timeline that a mail could be put on.")
    user = acting_user()
    if user is not None:
        return await (await access_of(user)).find(model, record_id, Right.READ)
    record = await get_model(model).get_or_none(id=record_id)
    if record is None:
        raise UnknownName(f"There is no {model} {record_id}.")
    return record


def _who() -> str:
    user = acting_user()
    return user.name if user is not None else "The operator"


def _user_id() -> int | None:
    user = acting_user()
    return user.pk if user is not None else None
