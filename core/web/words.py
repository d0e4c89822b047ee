"""What people read: states with their next step, times in their zone, sizes, names of models. Pure, and always text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, UTC, date, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from core.pattern import pattern

_CAPITAL = pattern(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@dataclass(frozen=True, slots=True)
class Mark:
    """A state as word and sign; `tone` picks the colour, which never stands alone."""

    word: str
    sign: str
    tone: str


MARKS: Mapping[str, Mark] = MappingProxyType(
    {
        "draft": Mark("Draft", "✎", "quiet"),
        "held": Mark("Held", "‖", "wait"),
        "queued": Mark("Queued", "◷", "wait"),
        "claimed": Mark("Queued", "◷", "wait"),
        "sending": Mark("Sending", "→", "wait"),
        "sent": Mark("Sent", "✓", "good"),
        "accepted": Mark("Accepted", "✓", "good"),
        "delivered": Mark("Delivered", "✓✓", "good"),
        "read": Mark("Read", "✓✓", "good"),
        "opened": Mark("Opened (estimate)", "◉", "good"),
        "clicked": Mark("Clicked", "↗", "good"),
        "retrying": Mark("Retrying", "↻", "wait"),
        "failed": Mark("Failed", "✕", "bad"),
        "cancelled": Mark("Cancelled", "⊘", "quiet"),
        "unknown": Mark("Unknown", "?", "bad"),
        "bounced": Mark("Bounced", "↩", "bad"),
        "complained": Mark("Complained", "!", "bad"),
        "received": Mark("Received", "◷", "wait"),
        "processed": Mark("Filed", "✓", "good"),
        "ignored": Mark("Set aside", "⊘", "quiet"),
        "unmatched": Mark("Unmatched", "?", "bad"),
        "quarantined": Mark("Quarantined", "✕", "bad"),
        "discarded": Mark("Discarded", "⊘", "quiet"),
        "passed": Mark("As it should", "✓", "good"),
        "changed": Mark("Changed", "✕", "bad"),
        "unchecked": Mark("Not checked", "•", "quiet"),
        "verified": Mark("Verified", "✓", "good"),
        "unverified": Mark("Not verified", "?", "quiet"),
        "forged": Mark("May be forged", "✕", "bad"),
        "idle": Mark("Idle", "✓", "quiet"),
        "running": Mark("Running", "→", "wait"),
        "off": Mark("Switched off", "‖", "bad"),
        "paused": Mark("Paused", "‖", "wait"),
        "failing": Mark("Failing", "✕", "bad"),
        "used": Mark("In use", "✓", "good"),
        "instant": Mark("Waited in", "✓", "good"),
        "new": Mark("Not visited yet", "◷", "wait"),
        "late": Mark("Late", "!", "bad"),
        "done": Mark("Done", "✓", "good"),
        "timeout": Mark("Timed out", "✕", "bad"),
        "lost": Mark("Worker lost", "?", "bad"),
        "stopped": Mark("Stopped", "⊘", "quiet"),
    }
)
OUTCOMES: Mapping[str, str] = MappingProxyType(
    {
        "record": "It became a new record.",
        "reply": "It answers a message, and was put on that record's timeline.",
        "bounce": "It reports on the delivery of a message of ours.",
        "complaint": "Its reader called a message of ours unwanted.",
        "receipt": "It says that a message of ours was opened, or deleted unread.",
        "challenge": "A filter holds a message of ours until a person answers.",
        "report": "It reports on mail in general, and was set aside.",
        "unsubscribed": "It took its writer off a list.",
        "duplicate": "It is a copy of a mail that was dealt with before.",
        "loop": "It came back to us in a circle, and was set aside.",
        "volume": "Its sender wrote so often that it may be a machine in a circle. It waits for a person.",
        "automatic": "A machine sent it: it is no reply, and nothing answers it.",
        "ignored": "A rule set it aside.",
        "unmatched": "No rule knew where it belongs. It waits for a person.",
        "unrouted": "An alias matched, but its record could not be created. It waits for a person.",
        "quarantined": "It could not be dealt with, and is kept whole for a person.",
        "discarded": "A person said that nobody need look at it. It is kept, and can come back.",
        "": "It was not looked at yet.",
    }
)


READERS: Mapping[str, str] = MappingProxyType(
    {
        "head": "asked for the headers only",
        "prefetch": "fetched ahead of reading",
        "own": "from a page of this host",
        "burst": "too much at once",
        "scanner": "a known scanner or robot",
        "no_agent": "does not say what it is",
        "apple_privacy": "Apple Mail's privacy proxy",
        "proxy": "through a proxy of the mail program",
    }
)
"""Why an open or a click counts as a machine's, by the stored reason; the last one marks a person's."""


def mark(state: str | None) -> Mark:
    """Return word and sign of a state; an unknown one speaks for itself."""
    key = (state or "").casefold()
    return MARKS.get(key) or Mark(state or "None", "•", "quiet")


def delivery_state(delivery: Any) -> str:
    """Return the state of one recipient as people know it."""
    if delivery.state == "queued" and delivery.attempts:
        return "retrying"
    if delivery.state == "sent" and (delivery.complained_at or delivery.bounced_at):
        return "complained" if delivery.complained_at else "bounced"
    if delivery.state == "sent" and (delivery.clicked_at or delivery.opened_at):
        return "clicked" if delivery.clicked_at else "opened"
    return str(delivery.state)


def state_sentence(message: Any, deliveries: Sequence[Any], show_time: Any, stopped: str = "") -> str:
    """Return how a message stands and what comes next.

    `show_time` turns an instant into text; `stopped` says why nothing is sent at all, where that is so.
    """
    count = len(deliveries)
    sent = sum(1 for delivery in deliveries if delivery.state == "sent")
    due = min((delivery.due_at for delivery in deliveries if delivery.state == "queued"), default=None)
    if message.bounced_at:
        return "A server took it, and it came back: what the report says is below."
    waits = f" Next try {show_time(due)}." if due else ""
    match message.send_state:
        case None:
            return "This entry is never sent."
        case "Sent" if sent < count:
            return f"A server accepted it for {sent} of {people(count)}; why not for all, their last answers say."
        case "Sent":
            return f"A server accepted it for {'its recipient' if count == 1 else f'all {count} recipients'}."
        case "Queued" if stopped:
            return f"Waiting to be sent to {people(count - sent)}. {stopped}"
        case "Queued" if any(delivery.attempts for delivery in deliveries):
            return f"Retrying: {sent} of {count} delivered.{waits}"
        case "Queued":
            return f"Waiting to be sent to {people(count)}; due {show_time(due)}." if due else "Waiting to be sent."
        case "Sending":
            return f"A worker is sending it now: {sent} of {count} delivered."
        case "Failed" if message.next_retry_at:
            return f"Retrying: {sent} of {count} delivered. Next try {show_time(message.next_retry_at)}."
        case "Failed":
            return f"Given up: {sent} of {count} delivered. Read the server's answer below, then retry or leave it."
        case "Held":
            return f"Kept back until somebody releases it: {people(count - sent)} waiting."
        case "Unknown":
            return (
                "The connection was lost after the content was sent and before the answer came: it may have arrived. "
                "Retry sends it again."
            )
        case "Cancelled":
            return f"Stopped before it was sent: {sent} of {count} delivered."
    return f"{message.send_state}."


def outcome_sentence(mail: Any) -> str:
    """Return in a sentence what became of an InboundEmail, and for whom it waits."""
    held = mail.outcome == "loop" and mail.state == "unmatched"
    return OUTCOMES.get("volume" if held else mail.outcome, mail.outcome)


def decision(mail: Any) -> str:
    """Return the reason of the rule, or the person, that decided about an InboundEmail; empty where none did."""
    return next((step["reason"] for step in reversed(mail.trace) if step["hit"]), "")


def people(count: int) -> str:
    """Return `1 person`, `3 people`."""
    return "1 person" if count == 1 else f"{count} people"


def model_title(name: str) -> str:
    """`FinancialDocument` -> `Financial document`."""
    return _CAPITAL.sub(" ", name).capitalize()


def field_title(name: str) -> str:
    """`due_date` -> `Due date`."""
    return name.replace("_", " ").strip().capitalize()


def zone(name: str) -> ZoneInfo:
    """Return a time zone by its name; UTC for one that is not known here."""
    try:
        return ZoneInfo(name or "UTC")
    except (OSError, ValueError):
        return ZoneInfo("UTC")


def clock_text(at: datetime, in_zone: ZoneInfo) -> str:
    """Return an instant as `12 Mar 2026, 14:05 CET`."""
    aware = at if at.tzinfo else at.replace(tzinfo=UTC)
    # What a stranger's clock says may be of a day that the reader's zone does not have.
    local = aware.astimezone(in_zone) if MINYEAR < aware.year < MAXYEAR else aware
    return f"{local.day} {local:%b %Y, %H:%M %Z}"


def distance(at: datetime, now: datetime) -> str:
    """Return how far away an instant is: `just now`, `5 min ago`, `in 3 h`."""
    seconds = (at - now).total_seconds()
    amount = abs(seconds)
    if amount < 45:
        return "just now" if seconds <= 0 else "in a moment"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if amount >= size or unit == "min":
            text = f"{max(1, round(amount / size))} {unit}"
            return f"{text} ago" if seconds < 0 else f"in {text}"
    return ""


def size_text(size_bytes: int) -> str:
    """Return `812 B`, `14 kB`, `2.1 MB`."""
    if size_bytes < 1000:
        return f"{size_bytes} B"
    if size_bytes < 1_000_000:
        return f"{size_bytes / 1000:.0f} kB"
    return f"{size_bytes / 1_000_000:.1f} MB"


def money_text(amount: Decimal, currency: str) -> str:
    """Return `1,280.00 EUR`."""
    return f"{_amount(amount)} {currency}".rstrip()


def plain_text(value: Any, choices: Mapping[str, str] | None = None) -> str:
    """Return a field's value for a person; an em dash for nothing."""
    if value is None or value == "" or value == []:
        return "—"
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, Decimal):
        return _amount(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        return f"{value.day} {value:%b %Y}"
    if choices:
        return choices.get(value, str(value))
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return str(value)


def _amount(value: Decimal) -> str:
    """Thousands apart, and two decimals or as many more as it has."""
    exponent = value.normalize().as_tuple().exponent
    decimals = -exponent if isinstance(exponent, int) else 0
    return f"{value:,.{max(2, decimals)}f}"


def attachment_name(name: str) -> str:
    """Return a file name whose writing direction cannot be turned round: marks that do so are shown as text."""
    return "".join(f"[U+{ord(char):04X}]" if char in _TURNING or not char.isprintable() else char for char in name)


_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")
