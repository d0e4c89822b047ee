"""A complaint belongs to the message it is about; what reports on no mail of ours is set aside."""

from __future__ import annotations

from dataclasses import replace

from core.contributions import GatewayRule
from core.gateway.about import about
from core.gateway.lookup import Lookup
from core.gateway.values import Ignore, Noted, Outcome, Pass, Received
from core.mail.complaint import Complaint, Feedback


async def decide(email: Received, lookup: Lookup) -> Noted | Ignore | Pass:
    complaint = email.notice
    if not isinstance(complaint, Complaint):
        return Pass("no complaint")
    if not complaint.feedback.is_of_recipient:
        return Ignore(Outcome.REPORT, f"it is a report of the kind {complaint.feedback}, which is about no recipient")
    for origin in () if lookup.origins(email) else lookup.left_lists(email):
        # What signs a way off a list proves no more than a wish to leave it.
        if message := lookup.by_row_id(origin.message_id):
            how = f"a signed address to unsubscribe at leads to {message.record}"
            return Noted(message, Outcome.COMPLAINT, how, replace(complaint, feedback=Feedback.OPT_OUT), origin)
    found = about(email, lookup)
    if found is None:
        return Ignore(Outcome.REPORT, "it complains about a mail that is none of ours")
    return Noted(found.message, Outcome.COMPLAINT, found.how, complaint, found.origin)


RULE = GatewayRule("complaint", 410, decide)
