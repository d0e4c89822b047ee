"""From a verdict to the account of it, as it stands before anything is written; a dry run ends here."""

from __future__ import annotations

from dataclasses import replace

from core.gateway.lookup import Lookup
from core.gateway.spool import original_of
from core.gateway.values import (
    Account,
    Bounced,
    Duplicate,
    Ignore,
    KnownMessage,
    NewRecord,
    Noted,
    Outcome,
    Quarantine,
    Received,
    Reply,
    TraceStep,
    Unmatched,
    Unsubscribed,
    Verdict,
)


def account_of(verdict: Verdict, email: Received, trace: tuple[TraceStep, ...], lookup: Lookup) -> Account:
    """Return what the verdict means for the mail, without the ids that only writing gives."""
    outcome, records = _outcome(verdict)
    return Account(
        source=email.source,
        outcome=outcome,
        record=next(iter(records), None),
        author=email.sender or None,
        trace=trace,
        bounces=email.bounce.recipients if email.bounce else (),
        automatic=verdict.reason if outcome is Outcome.AUTOMATIC else email.no_answer,
        records=records if len(records) > 1 else (),
        company_id=_company(verdict, email, lookup),
        original=_original(verdict, email),
        waits=isinstance(verdict, Unmatched),
        door=next(iter(lookup.doors(email)), ""),
    )


def without_record(verdict: Verdict, refusal: str) -> Verdict:
    """Return what is left of a verdict whose record was refused: a reply is one all the same."""
    match verdict:
        case NewRecord():
            return Unmatched(refusal, Outcome.UNROUTED)
        case Reply():
            return replace(verdict, also=())
    return verdict


def _outcome(verdict: Verdict) -> tuple[Outcome, tuple[str, ...]]:
    """Return the outcome, and what the mail becomes or joins: records by id, new ones by their model."""
    match verdict:
        case Duplicate(_, _, record):
            return Outcome.DUPLICATE, (record,) if record else ()
        case Ignore(outcome) | Unmatched(_, outcome):
            return outcome, ()
        case Bounced(message):
            return Outcome.BOUNCE, (message.record,)
        case Noted(message, outcome):
            return outcome, (message.record,)
        case Unsubscribed():
            return Outcome.UNSUBSCRIBED, ()
        case Reply(parent, _, also):
            return Outcome.REPLY, (parent.record, *(route.target_model for route in also))
        case NewRecord(routes):
            return Outcome.RECORD, tuple(route.target_model for route in routes)
        case Quarantine():
            return Outcome.QUARANTINED, ()


def _original(verdict: Verdict, email: Received) -> int | None:
    """Return the row that the mail is a copy of, or that a person asked for once more."""
    return verdict.of if isinstance(verdict, Duplicate) else original_of(email.source)


def _company(verdict: Verdict, email: Received, lookup: Lookup) -> int | None:
    match verdict:
        case (
            Reply(KnownMessage(company_id=company_id))
            | Bounced(KnownMessage(company_id=company_id))
            | Noted(KnownMessage(company_id=company_id))
        ):
            return company_id
        case NewRecord(routes):
            return routes[0].company_id
    return lookup.company_of(email)
