"""From a verdict to the account of it, as it stands before anything is written; a dry run ends here."""

from __future__ import annotations

from core.gateway.values import (
    Account,
    Bounced,
    Duplicate,
    Ignore,
    NewRecord,
    Outcome,
    Quarantine,
    Received,
    Reply,
    TraceStep,
    Unmatched,
    Unsubscribed,
    Verdict,
)
from core.mail.guard import no_answer_reason


def account_of(verdict: Verdict, email: Received, trace: tuple[TraceStep, ...]) -> Account:
    """Return what the verdict means for the mail, without the ids that only writing gives."""
    outcome, record = _outcome(verdict)
    return Account(
        source=email.source,
        outcome=outcome,
        record=record,
        author=email.sender or None,
        trace=trace,
        bounces=email.bounce.recipients if email.bounce else (),
        automatic=verdict.reason if outcome is Outcome.AUTOMATIC else no_answer_reason(email.parsed),
    )


def _outcome(verdict: Verdict) -> tuple[Outcome, str | None]:
    match verdict:
        case Duplicate():
            return Outcome.DUPLICATE, None
        case Ignore(outcome) | Unmatched(_, outcome):
            return outcome, None
        case Bounced(message):
            return Outcome.BOUNCE, message.record
        case Unsubscribed():
            return Outcome.UNSUBSCRIBED, None
        case Reply(parent):
            return Outcome.REPLY, parent.record
        case NewRecord(routes):
            return Outcome.RECORD, routes[0].target_model
        case Quarantine():
            return Outcome.QUARANTINED, None
