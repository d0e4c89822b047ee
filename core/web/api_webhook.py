"""Where mail providers tell what became of mails. Whoever brings no proof is refused, counted and told nothing."""

from __future__ import annotations

from hashlib import sha256

from fastapi import APIRouter, Request
from pydantic import BaseModel

from core import clock
from core.mail.provider_events import Confirmation, read_provider_events
from core.pattern import pattern
from core.runtime import get_model, settings
from core.web.route import ApiRoute
from core.web.webhook_proof import Call, WebhookRefused, prove, secrets_in

PATH = "/api/email/webhook/bounce"
# The whole of it: readers of addresses differ on what is the host of one with a backslash.
_AMAZON = pattern(r"https://sns\.[a-z0-9-]{2,30}\.amazonaws\.com(?:\.cn)?/[!-\[\]-~]*")

router = APIRouter(tags=["mail"], route_class=ApiRoute)


class EventsTaken(BaseModel):
    """What became of the events of a request; `passed_over` are those that say nothing of a mail's fate."""

    new: int = 0
    known: int = 0
    unmatched: int = 0
    passed_over: int = 0


@router.post(PATH, summary="What became of mails, told by their provider")
async def bounce(request: Request) -> EventsTaken:
    """Take events of Amazon SES (by SNS), SendGrid, Mailgun, Postmark, or of our own form, one or a list.

    Needs WEBHOOK_SECRET as bearer token, Basic password or `X-Webhook-Secret`, or a signature. An event that was told
    before changes nothing.
    """
    call = Call(tuple(request.headers.raw), await request.body(), clock.now())
    try:
        proof = prove(call, secrets_in(settings()))
    except WebhookRefused as refused:
        await request.app.state.refusals.count("bounce", refused.reason)
        raise
    reading = read_provider_events(call.body)
    for confirmation in reading.confirmations:
        await _ask_operator(confirmation)
    events = get_model("MailEvent")
    taken = await (
        events.take_once(reading.events, proof.replay_id, sha256(call.body).hexdigest())
        if proof.replay_id
        else events.take(reading.events)
    )
    return EventsTaken(new=taken.new, known=taken.known, unmatched=taken.unmatched, passed_over=reading.passed_over)


async def _ask_operator(confirmation: Confirmation) -> None:
    """Show the address that confirms a subscription; it is never opened from here, whatever it is."""
    if _AMAZON.fullmatch(confirmation.url) is None:
        text = "It names an address that is not Amazon's, so do not open it."
    else:
        text = f"If the topic is yours, open this address once: {confirmation.url}"
    await get_model("Notification").tell_admins(
        "Amazon SNS wants to call the bounce webhook", f"The topic {confirmation.topic[:300]} asks for it. {text}"
    )
