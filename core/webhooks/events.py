"""What is told of an event: which it was, of which record and message. Names and ids, and no field's value.

Whoever hears of it reads the rest by the API, with the rights of a token: a receiver learns nothing here that is not
for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

TEST = "webhook.test"
_REASON_CHARS = 500


@dataclass(frozen=True, slots=True)
class Happened:
    """An event as receivers are told of it; `model` and `company_id` choose who is."""

    event: str
    data: Mapping[str, Any]
    model: str | None = None
    company_id: int | None = None


def about(hook: str, values: Mapping[str, Any]) -> Happened:
    """Return what is told of the hook `hook`, one of `HOOKS`, with these values."""
    event, read = HOOKS[hook]
    return read(event, values)


def _of_message(event: str, values: Mapping[str, Any]) -> Happened:
    message = values["message"]
    data: dict[str, Any] = {"message": _message(message)}
    report = values.get("report")
    if report is not None:
        data |= {
            "recipient": report.recipient,
            "hard": report.hard,
            "status": report.status,
            "reason": report.reason[:_REASON_CHARS],
        }
    for name in ("error", "url"):
        if values.get(name):
            data[name] = str(values[name])[:2000]
    return Happened(event, data, message.res_model, message.company_id)


def _of_email(event: str, values: Mapping[str, Any]) -> Happened:
    email, message, record = values["email"], values.get("message"), values.get("record")
    data: dict[str, Any] = {"email": {"id": email.spool_id, "subject": email.parsed.subject, "from": email.sender}}
    if message is not None:
        data["message"] = _message(message)
    model = type(record).__name__ if record is not None else None
    company_id = message.company_id if message is not None else None
    return Happened(event, data, model, company_id)


def _of_record(event: str, values: Mapping[str, Any]) -> Happened:
    record = values["record"]
    data: dict[str, Any] = {"model": type(record).__name__, "id": record.pk, "name": record.display_name}
    if "changed" in values:
        data["changed"] = sorted(values["changed"])
    return Happened(event, data, type(record).__name__, getattr(record, "company_id", None))


def _message(message: Any) -> dict[str, Any]:
    return {
        "id": message.pk,
        "message_id": message.message_id,
        "kind": message.kind,
        "subject": message.subject,
        "model": message.res_model,
        "record_id": message.res_id,
        "send_state": message.send_state,
    }


_Read = Callable[[str, Mapping[str, Any]], Happened]
HOOKS: Mapping[str, tuple[str, _Read]] = MappingProxyType({
    "message_sent": ("message.sent", _of_message),
    "message_failed": ("message.failed", _of_message),
    "message_delivered": ("message.delivered", _of_message),
    "message_deferred": ("message.deferred", _of_message),
    "message_bounced": ("message.bounced", _of_message),
    "message_complained": ("message.complained", _of_message),
    "message_unsubscribed": ("message.unsubscribed", _of_message),
    "message_opened": ("message.opened", _of_message),
    "message_clicked": ("message.clicked", _of_message),
    "email_routed": ("email.routed", _of_email),
    "email_unmatched": ("email.unmatched", _of_email),
    "record_created": ("record.created", _of_record),
    "record_updated": ("record.updated", _of_record),
    "record_deleted": ("record.deleted", _of_record),
})  # fmt: skip
"""What can be told, by the name that it has inside."""
EVENTS = tuple(event for event, _ in HOOKS.values())
"""The names that receivers choose from."""
