"""What mail providers tell of mails on their way, in one vocabulary: Amazon SES, SendGrid, Mailgun, Postmark, our own.

Bytes in, values out; which provider wrote them is seen in the bytes. It does not judge whether they are genuine: the
webhook asks for a secret first, and who acts on an event matches it to a delivery. Formats as published by the
providers: SES event publishing and SNS notifications, SendGrid Event Webhook v3, Mailgun webhooks v3 (JSON), Postmark
webhooks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from types import MappingProxyType
from typing import Any

from core.errors import UserError
from core.mail.address import tolerant_addresses
from core.mail.thread import ids_in
from core.mail.words import clean_text

MOST_EVENTS = 2000
_MOST_RECIPIENTS = 100
_REASON_CHARS = 500
_ID_CHARS = 900
_URL_CHARS = 2000

UNPROVEN = "Nothing proves this report, so no address is suppressed for it."

_Item = Mapping[str, Any]


class EventKind(StrEnum):
    """What became of a mail after a server took it."""

    DELIVERED = "delivered"
    DEFERRED = "deferred"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    UNSUBSCRIBED = "unsubscribed"
    OPENED = "opened"
    CLICKED = "clicked"
    READ = "read"
    """The reader's own program says that it was opened (RFC 8098), or the provider's."""
    DROPPED = "dropped"
    """The provider did not even try, such as for an address that it suppresses itself."""


class ProviderFormatError(UserError):
    """A provider's request that cannot be read at all."""

    code = "provider_format"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderEvent:
    """One thing that happened to one recipient's copy.

    `key` is the same whenever the provider tells this event again. `hard`, of a bounce or a drop, is true where the
    address itself will never take mail. What ties it to a mail of ours is whatever the provider knows of it:
    `message_id` (a header, with angle brackets), `remote_id` (the provider's own name for it, told in its reply to the
    content), `tracking_id` (the reply token), `return_path` (the envelope sender).
    """

    kind: EventKind
    provider: str
    key: str
    recipient: str
    at: datetime | None = None
    hard: bool = False
    status: str = ""
    """An enhanced status code such as `5.1.1`, or empty."""
    reason: str = ""
    message_id: str = ""
    remote_id: str = ""
    tracking_id: str = ""
    return_path: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Confirmation:
    """Amazon SNS asks whether `topic` may call here; whoever opens `url` says yes."""

    topic: str
    url: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What a request said. `passed_over` counts what was no event, or one that says nothing of a mail's fate."""

    events: tuple[ProviderEvent, ...] = ()
    confirmations: tuple[Confirmation, ...] = ()
    passed_over: int = 0


def read_provider_events(body: bytes) -> Reading:
    """Read a webhook request; ProviderFormatError where it is no JSON object or list, or too long a list."""
    items = list(_items(_parsed(body)))
    _check_number(len(items))
    try:
        return _read(items)
    except RecursionError as error:
        raise ProviderFormatError("The request is nested too deeply.") from error


def _read(items: Sequence[_Item]) -> Reading:
    events: list[ProviderEvent] = []
    confirmations: list[Confirmation] = []
    passed_over = 0
    for item in items:
        inner = _out_of_envelope(item)
        if _text(inner, "Type") == "SubscriptionConfirmation":
            confirmations.append(Confirmation(_text(inner, "TopicArn"), _text(inner, "SubscribeURL")[:_URL_CHARS]))
            continue
        found = list(_reader_of(inner)(inner))
        events += found
        _check_number(len(events))
        passed_over += not found
    return Reading(tuple(events), tuple(confirmations), passed_over)


def _check_number(events: int) -> None:
    """An item may tell of many recipients, so both are counted."""
    if events > MOST_EVENTS:
        raise ProviderFormatError(f"More than {MOST_EVENTS} events in one request; send fewer at once.")


def words_of(event: ProviderEvent, recipient: str, *, proven: bool = True) -> str:
    """Return the event in a sentence, as plain text; what a stranger's server said stands after the colon.

    What is not `proven` has fewer effects, which the words then do not claim.
    """
    status = f" ({event.status})" if event.status else ""
    reason = event.reason or "no reason given"
    match event.kind:
        case EventKind.BOUNCED:
            how = " for good" if event.hard else ""
            return f"The mail to {recipient} could not be delivered{how}{status}: {reason}"
        case EventKind.DROPPED:
            return f"The mail to {recipient} was not even tried by {event.provider}{status}: {reason}"
        case EventKind.COMPLAINED:
            return f"{recipient} reported the mail as unwanted{'; nothing is sent there any more' if proven else ''}."
        case EventKind.UNSUBSCRIBED:
            if event.provider == "report":
                return f"{recipient} wants no more of this list, as a report says."
            return f"{recipient} unsubscribed at {event.provider}."
        case EventKind.READ:
            return f"{recipient} opened the mail, as a read receipt says."
        case EventKind.DEFERRED:
            return f"The mail to {recipient} is delayed{status}: {reason}"
    return f"The mail to {recipient} was {event.kind.value}."


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ProviderFormatError(f"The request is no JSON that can be read: {str(error)[:100]}") from error


def _items(payload: Any) -> Iterator[_Item]:
    if isinstance(payload, dict) and isinstance(payload.get("events"), list):
        payload = payload["events"]
    if not isinstance(payload, dict | list):
        raise ProviderFormatError("The request is neither an object nor a list; send an event, or a list of them.")
    for item in payload if isinstance(payload, list) else [payload]:
        yield item if isinstance(item, dict) else {}


def _out_of_envelope(item: _Item) -> _Item:
    """Return what an SNS notification carries, with the notification's id; anything else as it is."""
    if _text(item, "Type") != "Notification" or not isinstance(item.get("Message"), str):
        return item
    try:
        inner = json.loads(item["Message"])
    except (ValueError, RecursionError):
        return {}
    return {**inner, "_sns_id": _text(item, "MessageId")} if isinstance(inner, dict) else {}


def _reader_of(item: _Item) -> Callable[[_Item], Iterator[ProviderEvent]]:
    if isinstance(item.get("mail"), dict) and ("notificationType" in item or "eventType" in item):
        return _from_ses
    if isinstance(item.get("event-data"), dict):
        return _from_mailgun
    if "RecordType" in item:
        return _from_postmark
    if "sg_event_id" in item or "sg_message_id" in item:
        return _from_sendgrid
    return _from_ours


# Amazon SES.

_SES_KINDS: Mapping[str, tuple[EventKind, str, str]] = MappingProxyType({
    "Bounce": (EventKind.BOUNCED, "bounce", "bouncedRecipients"),
    "Complaint": (EventKind.COMPLAINED, "complaint", "complainedRecipients"),
    "Delivery": (EventKind.DELIVERED, "delivery", "recipients"),
    "DeliveryDelay": (EventKind.DEFERRED, "deliveryDelay", "delayedRecipients"),
    "Reject": (EventKind.DROPPED, "reject", ""),
    "Rendering Failure": (EventKind.DROPPED, "failure", ""),
    "Open": (EventKind.OPENED, "open", ""),
    "Click": (EventKind.CLICKED, "click", ""),
    "Subscription": (EventKind.UNSUBSCRIBED, "subscription", ""),
})  # fmt: skip


def _from_ses(item: _Item) -> Iterator[ProviderEvent]:
    kind, name, whom = _SES_KINDS.get(_text(item, "eventType") or _text(item, "notificationType"), (None, "", ""))
    if kind is None:
        return
    mail, about = item["mail"], _dict(item, name)
    told = _list(about, whom) if whom else _list(mail, "destination")
    event_id = _text(item, "_sns_id") or _text(about, "feedbackId") or _all_of(item)
    for one in told[:_MOST_RECIPIENTS]:
        recipient = one if isinstance(one, dict) else {"emailAddress": one}
        address = _address(recipient, "emailAddress")
        status = _text(recipient, "status")
        hard = _text(about, "bounceType") == "Permanent"
        yield ProviderEvent(
            kind=kind,
            provider="ses",
            key=_key("ses", event_id, item, kind, address),
            recipient=address,
            at=_time(about, "timestamp") or _time(mail, "timestamp"),
            hard=hard,
            status=status,
            reason=_first(recipient, "diagnosticCode")
            or _first(about, "reason", "errorMessage", "bounceSubType", "complaintFeedbackType", "delayType"),
            message_id=_message_id(_first(_dict(mail, "commonHeaders"), "messageId") or _header(mail, "message-id")),
            remote_id=_text(mail, "messageId"),
            tracking_id=_first(_dict(mail, "tags"), "tracking_id"),
            return_path=_address(mail, "source"),
            url=_text(about, "link")[:_URL_CHARS],
        )


def _header(mail: _Item, name: str) -> str:
    headers = [one for one in _list(mail, "headers") if isinstance(one, dict)]
    return next((_text(one, "value") for one in headers if _text(one, "name").lower() == name), "")


# SendGrid.

_SENDGRID_KINDS: Mapping[str, EventKind] = MappingProxyType({
    "delivered": EventKind.DELIVERED,
    "deferred": EventKind.DEFERRED,
    "bounce": EventKind.BOUNCED,
    "dropped": EventKind.DROPPED,
    "spamreport": EventKind.COMPLAINED,
    "unsubscribe": EventKind.UNSUBSCRIBED,
    "group_unsubscribe": EventKind.UNSUBSCRIBED,
    "open": EventKind.OPENED,
    "click": EventKind.CLICKED,
})  # fmt: skip


def _from_sendgrid(item: _Item) -> Iterator[ProviderEvent]:
    kind = _SENDGRID_KINDS.get(_text(item, "event"))
    if kind is None:
        return
    address = _address(item, "email")
    reason = _first(item, "reason", "response")
    # `blocked` says that the server refused the mail, not the mailbox; `dropped` repeats why an earlier one was lost.
    bounced_before = kind is EventKind.DROPPED and reason.lower().startswith("bounced address")
    yield ProviderEvent(
        kind=kind,
        provider="sendgrid",
        key=_key("sendgrid", _text(item, "sg_event_id"), item, kind, address),
        recipient=address,
        at=_time(item, "timestamp"),
        hard=bounced_before or (kind is EventKind.BOUNCED and _text(item, "type") != "blocked"),
        status=_text(item, "status"),
        reason=reason,
        message_id=_message_id(_first(item, "smtp-id")),
        remote_id=_text(item, "sg_message_id").partition(".")[0],
        tracking_id=_first(item, "tracking_id", "tracking_identifier"),
        url=_text(item, "url")[:_URL_CHARS],
    )


# Mailgun.

_MAILGUN_KINDS: Mapping[str, EventKind] = MappingProxyType({
    "delivered": EventKind.DELIVERED,
    "failed": EventKind.BOUNCED,
    "rejected": EventKind.DROPPED,
    "complained": EventKind.COMPLAINED,
    "unsubscribed": EventKind.UNSUBSCRIBED,
    "opened": EventKind.OPENED,
    "clicked": EventKind.CLICKED,
})  # fmt: skip


def _from_mailgun(item: _Item) -> Iterator[ProviderEvent]:
    data = item["event-data"]
    kind = _MAILGUN_KINDS.get(_text(data, "event"))
    if kind is None:
        return
    status, reason = _dict(data, "delivery-status"), _text(data, "reason")
    hard = kind is EventKind.BOUNCED and _text(data, "severity") == "permanent" and _is_of_address(status, reason)
    if kind is EventKind.BOUNCED and _text(data, "severity") == "temporary":
        kind = EventKind.DEFERRED
    elif kind is EventKind.BOUNCED and reason.startswith("suppress-"):
        kind = EventKind.DROPPED
    address = _address(data, "recipient")
    yield ProviderEvent(
        kind=kind,
        provider="mailgun",
        key=_key("mailgun", _text(data, "id"), data, kind, address),
        recipient=address,
        at=_time(data, "timestamp"),
        hard=hard,
        status=_first(status, "enhanced-code"),
        reason=_first(status, "message", "description") or reason or _first(_dict(data, "reject"), "reason"),
        message_id=_message_id(_first(_dict(_dict(data, "message"), "headers"), "message-id")),
        remote_id=_first(_dict(_dict(data, "message"), "headers"), "message-id"),
        tracking_id=_first(_dict(data, "user-variables"), "tracking_id", "tracking_identifier"),
        url=_text(data, "url")[:_URL_CHARS],
    )


def _is_of_address(status: _Item, reason: str) -> bool:
    """Whether a permanent failure is one of the mailbox: a policy's refusal and a mail that is too old are not."""
    kind = _text(status, "bounce-type")
    return kind == "hard" if kind else reason in ("bounce", "suppress-bounce")


# Postmark.

_POSTMARK_KINDS: Mapping[str, EventKind] = MappingProxyType({
    "Bounce": EventKind.BOUNCED,
    "Delivery": EventKind.DELIVERED,
    "SpamComplaint": EventKind.COMPLAINED,
    "SubscriptionChange": EventKind.UNSUBSCRIBED,
    "Open": EventKind.OPENED,
    "Click": EventKind.CLICKED,
})  # fmt: skip
_POSTMARK_BOUNCES: Mapping[str, EventKind] = MappingProxyType({
    "Transient": EventKind.DEFERRED,
    "SpamComplaint": EventKind.COMPLAINED,
    "Unsubscribe": EventKind.UNSUBSCRIBED,
    "ManuallyDeactivated": EventKind.DROPPED,
})  # fmt: skip
_POSTMARK_NO_FATE = frozenset({"Subscribe", "AutoResponder", "AddressChange", "OpenRelayTest", "ChallengeVerification"})


def _from_postmark(item: _Item) -> Iterator[ProviderEvent]:
    kind, bounce = _POSTMARK_KINDS.get(_text(item, "RecordType")), _text(item, "Type")
    if kind is EventKind.BOUNCED:
        kind = None if bounce in _POSTMARK_NO_FATE else _POSTMARK_BOUNCES.get(bounce, kind)
    if kind is EventKind.UNSUBSCRIBED and "SuppressSending" in item:
        kind = _postmark_change(item)
    if kind is None:
        return
    address = _address(item, "Email") or _address(item, "Recipient")
    yield ProviderEvent(
        kind=kind,
        provider="postmark",
        key=_key("postmark", _text(item, "ID"), item, kind, address),
        recipient=address,
        at=next((at for name in _POSTMARK_TIMES if (at := _time(item, name))), None),
        hard=kind is EventKind.BOUNCED and bounce in ("HardBounce", "BadEmailAddress"),
        reason=_first(item, "Details", "Description", "SuppressionReason"),
        remote_id=_text(item, "MessageID"),
        tracking_id=_first(_dict(item, "Metadata"), "tracking_id", "tracking_identifier"),
        url=_text(item, "OriginalLink")[:_URL_CHARS],
    )


_POSTMARK_TIMES = ("BouncedAt", "DeliveredAt", "ReceivedAt", "ChangedAt")


def _postmark_change(item: _Item) -> EventKind | None:
    """A change that only repeats what a bounce or complaint said is told by those."""
    by_recipient = _text(item, "SuppressionReason") in ("", "ManualSuppression")
    return EventKind.UNSUBSCRIBED if item["SuppressSending"] is True and by_recipient else None


# Our own, and whatever comes close to it.

_OUR_WORDS: Mapping[str, EventKind] = MappingProxyType({
    **{kind.value: kind for kind in EventKind},
    "delivery": EventKind.DELIVERED,
    "deferral": EventKind.DEFERRED,
    "delayed": EventKind.DEFERRED,
    "bounce": EventKind.BOUNCED,
    "hard_bounce": EventKind.BOUNCED,
    "soft_bounce": EventKind.BOUNCED,
    "failed": EventKind.BOUNCED,
    "complaint": EventKind.COMPLAINED,
    "spam": EventKind.COMPLAINED,
    "unsubscribe": EventKind.UNSUBSCRIBED,
    "open": EventKind.OPENED,
    "click": EventKind.CLICKED,
    "drop": EventKind.DROPPED,
    "rejected": EventKind.DROPPED,
})  # fmt: skip


def _from_ours(item: _Item) -> Iterator[ProviderEvent]:
    word = (_first(item, "event") or _first(item, "type") or _first(item, "kind")).lower().replace("-", "_")
    kind = _OUR_WORDS.get(word.replace(" ", "_")) or _OUR_WORDS.get(word.replace("_", ""))
    address = next((one for name in ("email", "recipient", "address", "to") if (one := _address(item, name))), "")
    if kind is None:
        return
    status = _first(item, "status", "status_code")
    yield ProviderEvent(
        kind=kind,
        provider="own",
        key=_key("own", _first(item, "id", "event_id"), item, kind, address),
        recipient=address,
        at=_time(item, "at") or _time(item, "timestamp"),
        hard=kind is EventKind.BOUNCED and _says_hard(item, word, status),
        status=status,
        reason=_first(item, "reason", "description", "diagnostic", "message"),
        message_id=_message_id(_first(item, "message_id", "message-id", "Message-ID")),
        remote_id=_first(item, "remote_id", "provider_id"),
        tracking_id=_first(item, "tracking_id", "tracking_identifier"),
        return_path=_address(item, "return_path"),
        url=_text(item, "url")[:_URL_CHARS],
    )


def _says_hard(item: _Item, word: str, status: str) -> bool:
    """Whether a bounce is of the address; where nothing says so, it is not."""
    said = _first(item, "bounce_type", "bounce_kind", "severity", "type").lower()
    if "soft" in (said, word.partition("_")[0]) or said in ("transient", "temporary"):
        return False
    return word.startswith("hard") or said in ("hard", "permanent", "hard_bounce") or status.startswith("5.1.")


# Reading whatever was sent: a value of the wrong type is no value.


def _dict(item: _Item, name: str) -> _Item:
    value = item.get(name)
    return value if isinstance(value, dict) else {}


def _list(item: _Item, name: str) -> list[Any]:
    value = item.get(name)
    return value if isinstance(value, list) else []


def _text(item: _Item, name: str) -> str:
    value = item.get(name)
    if isinstance(value, str):
        return clean_text(value).strip()[:_URL_CHARS]
    return str(value)[:_ID_CHARS] if isinstance(value, int) and not isinstance(value, bool) else ""


def _first(item: _Item, *names: str) -> str:
    """Return the first of these that says anything, in one line; of a list its first entry."""
    for name in names:
        value = item.get(name)
        first = {name: value[0]} if isinstance(value, list) and value else item
        if text := " ".join(_text(first, name).split()):
            return text[:_REASON_CHARS]
    return ""


def _address(item: _Item, name: str) -> str:
    return next((mailbox.address for mailbox in tolerant_addresses(_text(item, name))), "")


def _message_id(text: str) -> str:
    return next(iter(ids_in(text)), "")[:_ID_CHARS]


def _time(item: _Item, name: str) -> datetime | None:
    """Return seconds since 1970, or an ISO 8601 text, as an aware time."""
    value = item.get(name)
    try:
        if isinstance(value, str) and not value.replace(".", "", 1).isdecimal():
            at = datetime.fromisoformat(value)
            return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(float(value), UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None


def _key(provider: str, event_id: str, item: _Item, kind: EventKind, recipient: str) -> str:
    """Return what is the same for the same event: of its id, or, where it has none, of all that it says."""
    said = event_id or _all_of(item)
    return (
        f"{provider}:{sha256(chr(0).join((said, kind, recipient.lower())).encode('utf-8', 'replace')).hexdigest()[:40]}"
    )


def _all_of(item: _Item) -> str:
    return json.dumps(item, sort_keys=True)
