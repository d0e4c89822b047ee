"""Mails as providers' inbound webhooks bring them: raw bytes, or wrapped in JSON or a form, with their envelope.

Known are raw RFC 822 bytes, Amazon SES by SNS (with the content in the notification), Postmark (with RawEmail), Mailgun
(`body-mime`) and SendGrid (the raw form of Inbound Parse). Nothing is fetched from anywhere.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.errors import UserError

_MOST_RECIPIENTS = 100


@dataclass(frozen=True, slots=True)
class Brought:
    """A mail, and what its envelope said: the return path (None where it said nothing) and the recipients."""

    raw: bytes = field(repr=False)
    return_path: str | None = None
    recipients: tuple[str, ...] = ()


def brought_in_json(body: bytes) -> Brought:
    """Read a mail that is wrapped in JSON; UserError where there is none."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UserError("This is no JSON; send the mail's bytes as message/rfc822.") from error
    if not isinstance(data, dict):
        raise UserError("This is no mail: the JSON is no object.")
    if isinstance(data.get("Message"), str):
        return _of_amazon(data["Message"])
    if isinstance(data.get("RawEmail"), str):
        recipient = _text(data.get("OriginalRecipient"))
        return Brought(_bytes(data["RawEmail"]), None, (recipient,) if recipient else ())
    raise UserError("This JSON has no mail in it: neither RawEmail (Postmark) nor Message (Amazon SNS).")


def brought_in_form(fields: Mapping[str, str]) -> Brought:
    """Read a mail that is wrapped in a form; UserError where there is none."""
    if "body-mime" in fields:
        recipient = fields.get("recipient", "")
        return Brought(_bytes(fields["body-mime"]), fields.get("sender"), (recipient,) if recipient else ())
    if "email" in fields:
        return_path, recipients = _envelope(fields.get("envelope", ""))
        return Brought(_bytes(fields["email"]), return_path, recipients)
    raise UserError(
        "This form has no mail in it: neither body-mime (Mailgun) nor email (SendGrid: choose to post the raw mail)."
    )


def _of_amazon(message: str) -> Brought:
    try:
        told = json.loads(message)
    except (ValueError, RecursionError) as error:
        raise UserError("The notification's Message is no JSON.") from error
    content = told.get("content") if isinstance(told, dict) else None
    if not isinstance(content, str):
        raise UserError(
            "The notification has no mail in it; let the SNS action of Amazon SES send the content (up to 150 kB)."
        )
    receipt, mail = _mapping(told.get("receipt")), _mapping(told.get("mail"))
    raw = _bytes(content)
    if _mapping(receipt.get("action")).get("encoding") == "BASE64":
        try:
            raw = b64decode(content, validate=False)
        except ValueError as error:
            raise UserError("The mail in the notification is no base64.") from error
    recipients = receipt.get("recipients") or mail.get("destination")
    return Brought(raw, _text(mail.get("source")) or None, _texts(recipients))


def _envelope(text: str) -> tuple[str | None, tuple[str, ...]]:
    try:
        told = _mapping(json.loads(text))
    except (ValueError, RecursionError):
        return None, ()
    sender = told.get("from")
    return sender if isinstance(sender, str) else None, _texts(told.get("to"))


def _texts(value: Any) -> tuple[str, ...]:
    items: Sequence[Any] = value if isinstance(value, list) else [value]
    return tuple(text for one in items[:_MOST_RECIPIENTS] if (text := _text(one)))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
