"""Carrying out what a delivery report says: an entry under its message, and the effects that any bounce has.

Who was reported about is believed only where the message really went there; whether that suppresses an address hangs on
the signed return path that the report came to (SECURITY I9).
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from types import MappingProxyType
from typing import Any

from core.events import tell
from core.gateway.entries import Entries
from core.gateway.values import Bounced, Received
from core.mail.address import normalised
from core.mail.blind import BLIND, unnamed
from core.mail.body import text_to_html
from core.mail.provider_events import UNPROVEN, EventKind, ProviderEvent, words_of
from core.mail.return_path import Origin
from core.mail.values import BouncedRecipient
from core.runtime import get_model

_SUBJECT_CHARS = 998
_ACTIONS: Mapping[str, EventKind] = MappingProxyType({
    "failed": EventKind.BOUNCED,
    "delayed": EventKind.DEFERRED,
    "delivered": EventKind.DELIVERED,
    "relayed": EventKind.DELIVERED,
    "expanded": EventKind.DELIVERED,
})  # fmt: skip


async def note_bounce(verdict: Bounced, email: Received, entries: Entries) -> Any:
    """Write the report on the timeline, with its effects, and return the entry."""
    about = verdict.message
    sent_to = await _sent_to(about.id)
    events = [_event(one, email, sent_to) for one in verdict.bounce.recipients]
    blind = [address for address, kind in sent_to.items() if kind == BLIND]
    text = unnamed("\n".join(words_of(event, event.recipient) for event in events), *blind)
    if verdict.origin is None:
        text += f"\n{UNPROVEN}"
    entry = get_model("Message")(
        kind="system",
        direction="Internal",
        res_model=about.res_model,
        res_id=about.res_id,
        parent_id=about.id,
        company_id=about.company_id,
        subject=unnamed(email.parsed.subject, *blind)[:_SUBJECT_CHARS],
        body=text_to_html(text),
        text=text,
        date_at=email.parsed.date_at,
    )
    entries.add(entry)
    await entries.write()
    origin = verdict.origin or Origin(about.id)
    await get_model("MailEvent").take(events, of=origin, proven=verdict.origin is not None, entry=entry)
    await tell("message_posted", message=entry)
    return entry


async def _sent_to(message_id: int) -> dict[str, str]:
    """Return how each recipient got the message, by normalised address."""
    recipients = await get_model("Delivery").filter(message_id=message_id).values_list("recipient", "kind")
    return {normalised(recipient): kind for recipient, kind in recipients}


def _event(one: BouncedRecipient, email: Received, sent_to: Mapping[str, str]) -> ProviderEvent:
    """Return the report on one recipient, under the address that we wrote to where it names that too."""
    original = one.original_address
    recipient = original if original and normalised(original) in sent_to else one.address
    said = sha256(f"{email.fingerprint}\0{normalised(recipient)}\0{one.action}".encode("utf-8", "replace"))
    return ProviderEvent(
        kind=_ACTIONS[one.action],
        provider="report",
        key=f"report:{said.hexdigest()[:40]}",
        recipient=recipient,
        at=email.parsed.date_at,
        hard=one.hard,
        status=one.status or "",
        reason=one.diagnostic,
    )
