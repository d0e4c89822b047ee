"""Whether a webhook request comes from who may send it. Pure: headers, body, secrets and a time in, an answer out.

Accepted are WEBHOOK_SECRET (`Authorization: Bearer`, the password of `Authorization: Basic`, or `X-Webhook-Secret`), an
HMAC-SHA256 of `timestamp.body` with it (`X-Webhook-Timestamp` in seconds, `X-Webhook-Signature: sha256=HEX`), and the
signatures of Mailgun and SendGrid where their keys are configured. Without any secret configured, nobody is let in.
A header that came twice, or is not ASCII, is refused, and so is a request of which one proof holds and another does
not. Amazon SNS signs with a certificate that would have to be fetched: it is let in by a password in its URL instead.
"""

from __future__ import annotations

import hmac
import json
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from core.errors import AccessDenied

WINDOW_S = 300
_MAILGUN_WINDOW_S = 12 * 3600
"""Mailgun repeats a call that failed for eight hours, as it signed it at first."""
_SECRET = "x-webhook-secret"  # noqa: S105 - the name of a header
SIGNATURE, _TIMESTAMP = "x-webhook-signature", "x-webhook-timestamp"
_SENDGRID = "x-twilio-email-event-webhook-signature"
_SENDGRID_TIMESTAMP = "x-twilio-email-event-webhook-timestamp"
_LOOKED_AT = frozenset({"authorization", _SECRET, SIGNATURE, _TIMESTAMP, _SENDGRID, _SENDGRID_TIMESTAMP})


class WebhookRefused(AccessDenied):
    """A webhook request without a proof; `reason` is for the operator, the caller is told less."""

    code = "webhook_refused"

    def __init__(self, reason: str):
        self.reason = reason
        super().__init__("This webhook takes requests with a valid secret or signature only.")


@dataclass(frozen=True, slots=True)
class Secrets:
    """What is configured; empty where it is not."""

    shared: str = ""
    mailgun: str = ""
    sendgrid: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """A request: its headers as they came, its body, and when."""

    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    at: datetime


@dataclass(frozen=True, slots=True)
class Proof:
    """Why a request is believed. `replay_id` is the same for the same signed request; None for a mere secret."""

    how: str
    replay_id: str | None = None


def prove(call: Call, secrets: Secrets) -> Proof:
    """Return why a request is believed, or raise WebhookRefused with the reason."""
    headers = _headers(call.headers)
    proofs = [proof for check in _CHECKS if (proof := check(call, headers, secrets))]
    if not proofs:
        missing = "" if secrets.shared else "; no WEBHOOK_SECRET is set here"
        raise WebhookRefused(f"it brought no secret and no signature that is known{missing}")
    return next((proof for proof in proofs if proof.replay_id), proofs[0])


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for raw_name, raw_value in raw:
        name = raw_name.decode("latin-1").lower()
        if name not in _LOOKED_AT:
            continue
        if name in found:
            raise WebhookRefused(f"its header {name} came twice")
        if not raw_value.isascii():
            raise WebhookRefused(f"its header {name} is not ASCII")
        found[name] = raw_value.decode("ascii").strip()
    return found


def _by_authorization(call: Call, headers: Mapping[str, str], secrets: Secrets) -> Proof | None:
    if "authorization" not in headers:
        return None
    scheme, _, value = headers["authorization"].partition(" ")
    if scheme.lower() == "basic":
        _compare(_password(value.strip()), secrets.shared, "its password")
    elif scheme.lower() == "bearer":
        _compare(value.strip().encode(), secrets.shared, "its bearer token")
    else:
        raise WebhookRefused("its Authorization is neither Bearer nor Basic")
    return Proof(f"{scheme.lower()} authorization")


def _by_secret_header(call: Call, headers: Mapping[str, str], secrets: Secrets) -> Proof | None:
    if _SECRET not in headers:
        return None
    _compare(headers[_SECRET].encode(), secrets.shared, "its secret")
    return Proof("secret header")


def _by_signature(call: Call, headers: Mapping[str, str], secrets: Secrets) -> Proof | None:
    if SIGNATURE not in headers:
        return None
    timestamp = headers.get(_TIMESTAMP, "")
    _in_window(timestamp, call.at, WINDOW_S)
    wanted = hmac.digest(secrets.shared.encode(), timestamp.encode() + b"." + call.body, "sha256").hex()
    claimed = headers[SIGNATURE].lower().removeprefix("sha256=")
    _compare(claimed.encode(), wanted if secrets.shared else "", "its signature")
    return Proof("signature", _replay_id("own", claimed))


def _by_mailgun(call: Call, headers: Mapping[str, str], secrets: Secrets) -> Proof | None:
    if not secrets.mailgun or b'"event-data"' not in call.body:
        return None
    said = _mailgun_signature(call.body)
    if said is None:
        return None
    timestamp, token, claimed = said
    _in_window(timestamp, call.at, _MAILGUN_WINDOW_S)
    wanted = hmac.digest(secrets.mailgun.encode(), f"{timestamp}{token}".encode(), "sha256").hex()
    _compare(claimed.encode(), wanted, "Mailgun's signature")
    # Mailgun signs no body: whoever saw one signed request could put another body under it, but for this id.
    return Proof("Mailgun's signature", _replay_id("mailgun", token))


def _by_sendgrid(call: Call, headers: Mapping[str, str], secrets: Secrets) -> Proof | None:
    if not secrets.sendgrid or _SENDGRID not in headers:
        return None
    timestamp = headers.get(_SENDGRID_TIMESTAMP, "")
    _in_window(timestamp, call.at, WINDOW_S)
    try:
        key = load_der_public_key(b64decode(secrets.sendgrid))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise WebhookRefused("SENDGRID_PUBLIC_KEY cannot be read; copy it from SendGrid again") from error
    if not isinstance(key, EllipticCurvePublicKey):
        raise WebhookRefused("SENDGRID_PUBLIC_KEY is no ECDSA key; copy it from SendGrid again")
    try:
        key.verify(b64decode(headers[_SENDGRID]), timestamp.encode() + call.body, ECDSA(SHA256()))
    except (InvalidSignature, ValueError) as error:
        raise WebhookRefused("SendGrid's signature is wrong") from error
    return Proof("SendGrid's signature", _replay_id("sendgrid", headers[_SENDGRID]))


_Check = Callable[[Call, Mapping[str, str], Secrets], Proof | None]
_CHECKS: tuple[_Check, ...] = (_by_authorization, _by_secret_header, _by_signature, _by_mailgun, _by_sendgrid)


def _compare(given: bytes, wanted: str, what: str) -> None:
    """Compare in constant time; an empty secret is never the right one."""
    if not hmac.compare_digest(given, wanted.encode()) or not wanted:
        unset = "" if wanted else "; no WEBHOOK_SECRET is set here"
        raise WebhookRefused(f"{what} is wrong{unset}")


def _in_window(timestamp: str, at: datetime, window_s: int) -> None:
    if not (timestamp.isdecimal() and timestamp.isascii() and len(timestamp) <= 12):
        raise WebhookRefused("its signature has no timestamp in seconds")
    if abs(at.timestamp() - int(timestamp)) > window_s:
        raise WebhookRefused("its timestamp is too far from our clock; is one of the two clocks wrong?")


def _password(encoded: str) -> bytes:
    try:
        _, _, password = b64decode(encoded, validate=True).partition(b":")
    except ValueError:
        return b""
    return password


def _mailgun_signature(body: bytes) -> tuple[str, str, str] | None:
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        return None
    said = payload.get("signature") if isinstance(payload, dict) else None
    if not isinstance(said, dict):
        return None
    parts = tuple(_ascii(said.get(name)) for name in ("timestamp", "token", "signature"))
    return (parts[0], parts[1], parts[2]) if all(parts) else None


def _ascii(value: Any) -> str:
    text = str(value) if isinstance(value, str | int) else ""
    return text if text.isascii() and len(text) <= 200 else ""


def _replay_id(scheme: str, said: str) -> str:
    return f"{scheme}:{sha256(said.encode()).hexdigest()}"


def secrets_in(values: Any) -> Secrets:
    """Return the secrets of the configuration."""
    return Secrets(
        shared=values.WEBHOOK_SECRET.get_secret_value().strip(),
        mailgun=values.MAILGUN_SIGNING_KEY.get_secret_value().strip(),
        sendgrid=values.SENDGRID_PUBLIC_KEY.strip(),
    )
