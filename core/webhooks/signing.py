"""Signatures as Standard Webhooks has them (https://www.standardwebhooks.com, "Signature scheme"). Pure."""

from __future__ import annotations

import binascii
import hmac
import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterable
from hashlib import sha256

from core.errors import UserError

_PREFIX = "whsec_"
_NEW_BYTES = 32
_LEAST_BYTES, _MOST_BYTES = 24, 64


def new_secret() -> str:
    """Return a fresh secret, of 256 random bits."""
    return _PREFIX + b64encode(secrets.token_bytes(_NEW_BYTES)).decode()


def require_secret(secret: str) -> None:
    """Raise UserError for a secret that no receiver's library would take."""
    try:
        key = b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(_PREFIX) or not _LEAST_BYTES <= len(key) <= _MOST_BYTES:
        raise UserError(
            f"A secret is {_PREFIX} and {_LEAST_BYTES} to {_MOST_BYTES} random bytes in base64; leave it empty for one."
        )


def signature(held: Iterable[str], event_id: str, at_s: int, body: bytes) -> str:
    """Return the header `webhook-signature`: one signature for each secret that is in force."""
    signed = b".".join((event_id.encode(), str(at_s).encode(), body))
    return " ".join(f"v1,{_signed(secret, signed)}" for secret in held)


def _signed(secret: str, content: bytes) -> str:
    key = b64decode(secret.removeprefix(_PREFIX))
    return b64encode(hmac.new(key, content, sha256).digest()).decode()
