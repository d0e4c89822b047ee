"""Carrying out what a program tells of a message of ours: an entry under it, and the effects of any such event.

Who was reported about is believed only where the message really went there; whether that suppresses an address hangs on
the signed return path that the report came to or gives back (SECURITY I9). No such entry is a reply: it is internal,
reopens nothing and is answered by nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType
from typing import Any

from core.events import announce, tell
from core.gateway.entries import Entries
from core.gateway.values import Bounced, KnownMessage, Noted, Outcome, Received
from core.mail.address import normalised
from core.mail.blind import BLIND, unnamed
from core.mail.body import text_to_html
from core.mail.bounce_cause import Cause
from core.mail.complaint import Complaint, Feedback
from core.mail.provider_events import UNPROVEN, EventKind, ProviderEvent, words_of
from core.mail.receipt import Disposition, Receipt
from core.mail.return_path import Origin
from core.mail.values import BouncedRecipient
from core.orm.feed import Change
from core.runtime import get_model

_SUBJECT_CHARS = 998
_TEXT_CHARS = 20_000
_ACTIONS: Mapping[str, EventKind] = MappingProxyType({
    "failed": EventKind.BOUNCED,
    "delayed": EventKind.DEFERRED,
    "delivered": EventKind.DELIVERED,
    "relayed": EventKind.DELIVERED,
    "expanded": EventKind.DELIVERED,
})  # fmt: skip
_NOBODY_NAMED = "A mail system reports that the mail could not be delivered; it does not say to whom."
_SOMEBODY_COMPLAINED = "A reader reported the mail as unwanted; the report does not say who."
_DISPOSITIONS: Mapping[Disposition, str] = MappingProxyType({
    Disposition.DELETED: "{} deleted the mail without opening it.",
    Disposition.OTHER: "The mail program of {} took the mail; it does not say whether anybody opened it.",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Copies:
    """To whom a message went: the address of each delivery, and how it got the message, by normalised address."""

    recipients: Mapping[int, str]
    kinds: Mapping[str, str]

    @property
    def blind(self) -> list[str]:
        return [address for address, kind in self.kinds.items() if kind == BLIND]

    def meant(self, named: Sequence[str], origin: Origin | None) -> list[str]:
        """Return whom of them a report means: the one of a signed address, else those it names, or the only one."""
        signed = self.recipients.get(origin.delivery_id or 0) if origin else None
        if signed:
            return [signed]
        found = [one for one in named if normalised(one) in self.kinds]
        return found or (list(self.recipients.values()) if len(self.recipients) == 1 else [])


async def note_bounce(verdict: Bounced, email: Received, entries: Entries) -> Any:
    """Write the report on the timeline, with its effects, and return the entry."""
    copies = await _copies(verdict.message.id)
    told = [_bounced(one, email, copies) for one in verdict.bounce.recipients] or [
        _event(EventKind.BOUNCED, one, email) for one in copies.meant((), verdict.origin)
    ]
    words = [words_of(event, event.recipient) for event in told] or [_NOBODY_NAMED]
    return await _note(verdict, told, _with_proof(words, verdict.origin), email, entries, copies)


async def note_other(verdict: Noted, email: Received, entries: Entries) -> Any:
    """Write what a program told on the timeline, with its effects, and return the entry."""
    copies = await _copies(verdict.message.id)
    origin = verdict.origin
    match verdict.notice:
        case Complaint() as complaint:
            kind = EventKind.UNSUBSCRIBED if complaint.feedback is Feedback.OPT_OUT else EventKind.COMPLAINED
            told = [_event(kind, one, email) for one in copies.meant(complaint.recipients, origin)]
            words = [words_of(event, event.recipient, proven=origin is not None) for event in told]
            lines = _with_proof(words or [_SOMEBODY_COMPLAINED], origin)
            return await _note(verdict, told, lines, email, entries, copies)
        case Receipt(disposition=disposition, recipients=recipients):
            who = copies.meant(recipients, origin)[:1]
            read = [_event(EventKind.READ, one, email) for one in who if disposition is Disposition.DISPLAYED]
            words = [words_of(event, event.recipient) for event in read] or [
                _DISPOSITIONS.get(disposition, "{} opened the mail.").format(*who or ["A reader"])
            ]
            return await _note(verdict, read, words, email, entries, copies)
    entry = await _entry(
        verdict.message, [_introduction(verdict, email), email.text[:_TEXT_CHARS]], email, entries, copies
    )
    if verdict.outcome is Outcome.CHALLENGE:
        await _tell_author(verdict.message, entry)
    return entry


def _introduction(verdict: Noted, email: Received) -> str:
    sender = email.sender or "somebody"
    if verdict.outcome is Outcome.CHALLENGE:
        return f"A filter holds the mail until a person answers. {sender} writes:\n"
    return f"An automatic answer came from {sender}; it is no reply:\n"


async def _note(
    verdict: Bounced | Noted,
    told: Sequence[ProviderEvent],
    lines: Sequence[str],
    email: Received,
    entries: Entries,
    copies: _Copies,
) -> Any:
    entry = await _entry(verdict.message, lines, email, entries, copies)
    if told:
        origin = verdict.origin or Origin(verdict.message.id)
        await get_model("MailEvent").take(told, of=origin, proven=verdict.origin is not None, entry=entry)
    return entry


def _with_proof(words: Sequence[str], origin: Origin | None) -> list[str]:
    return [*words] if origin is not None else [*words, UNPROVEN]


async def _entry(about: KnownMessage, lines: Sequence[str], email: Received, entries: Entries, copies: _Copies) -> Any:
    text = unnamed("\n".join(lines), *copies.blind)
    entry = get_model("Message")(
        kind="system",
        direction="Internal",
        res_model=about.res_model,
        res_id=about.res_id,
        parent_id=about.id,
        company_id=about.company_id,
        subject=unnamed(email.parsed.subject, *copies.blind)[:_SUBJECT_CHARS],
        body=text_to_html(text),
        text=text,
        date_at=email.parsed.date_at,
    )
    entries.add(entry)
    await entries.write()
    await tell("message_posted", message=entry)
    return entry


async def _tell_author(about: KnownMessage, entry: Any) -> None:
    for author_id in await get_model("Message").filter(id=about.id).values_list("author_id", flat=True):
        if author_id is not None:
            await get_model("Notification").get_or_create(message_id=entry.pk, user_id=author_id)
            await announce(Change(f"user:{author_id}"))


async def _copies(message_id: int) -> _Copies:
    rows = await get_model("Delivery").filter(message_id=message_id).values_list("id", "recipient", "kind")
    return _Copies(
        {delivery_id: recipient for delivery_id, recipient, _ in rows},
        {normalised(recipient): kind for _, recipient, kind in rows},
    )


def _bounced(one: BouncedRecipient, email: Received, copies: _Copies) -> ProviderEvent:
    """Return the report on one recipient, under the address that we wrote to where it names that too."""
    original = one.original_address
    recipient = original if original and normalised(original) in copies.kinds else one.address
    reason = one.diagnostic
    if one.action == "failed" and one.cause != Cause.UNKNOWN:
        reason = f"{Cause(one.cause).words}. {reason}".strip()
    return _event(
        _ACTIONS[one.action], recipient, email, hard=one.hard, status=one.status or "", reason=reason, said=one.action
    )


def _event(
    kind: EventKind,
    recipient: str,
    email: Received,
    *,
    hard: bool = False,
    status: str = "",
    reason: str = "",
    said: str = "",
) -> ProviderEvent:
    told = f"{email.fingerprint}\0{normalised(recipient)}\0{said or kind}"
    return ProviderEvent(
        kind=kind,
        provider="report",
        key=f"report:{sha256(told.encode('utf-8', 'replace')).hexdigest()[:40]}",
        recipient=recipient,
        at=email.parsed.date_at,
        hard=hard,
        status=status,
        reason=reason,
    )
