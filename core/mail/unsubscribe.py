"""The link by which a recipient leaves a list (RFC 2369, RFC 8058): what it says, and that it was made here.

A token is for one address and one list, of any length of life, and opens nothing else. The address in it is not a
secret: the link is only ever sent to that address.
"""

from __future__ import annotations

import binascii
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass

from core.mail.address import normalised
from core.mail.signing import SIGNATURE_BYTES, is_signed, read_signed_tag, signature, signed_address

_PURPOSE = "unsubscribe"
_MAIL_PURPOSE = "unsubscribe by mail"
_TOKEN_CHARS = 2000
ALIAS = "unsubscribe"
PATH = "/unsubscribe"


@dataclass(frozen=True, slots=True)
class Subscription:
    """Whose mail of which list; an empty list is all mail that one can leave."""

    address: str
    list: str


def unsubscribe_token(keys: Sequence[str], address: str, list: str) -> str:
    """Return the token of an address on a list, for a URL."""
    said = json.dumps([normalised(address), list], separators=(",", ":"))
    return urlsafe_b64encode(signature(keys, _PURPOSE, said) + said.encode()).decode().rstrip("=")


def unsubscribe_url(base_url: str, keys: Sequence[str], address: str, list: str) -> str:
    """Return the link that a mail of the list to the address carries, for a person (GET) and a program (POST)."""
    return f"{base_url.rstrip('/')}{PATH}/{unsubscribe_token(keys, address, list)}"


def read_unsubscribe_token(keys: Sequence[str], token: str) -> Subscription | None:
    """Return what the token says, or None unless it was made here; never raises."""
    if len(token) > _TOKEN_CHARS or not token.isascii():
        return None
    try:
        signed = urlsafe_b64decode(token + "=" * (-len(token) % 4))
        said = signed[SIGNATURE_BYTES:].decode()
    except (binascii.Error, ValueError):
        return None
    if not is_signed(keys, _PURPOSE, said, signed[:SIGNATURE_BYTES]):
        return None
    return Subscription(*json.loads(said))


def unsubscribe_address(keys: Sequence[str], domain: str, message_id: int, delivery_id: int) -> str:
    """Return `unsubscribe+TAG@domain` for the `mailto:` form of the header; the ids are those of the rows."""
    return signed_address(keys, _MAIL_PURPOSE, ALIAS, domain, message_id, delivery_id)


def read_unsubscribe_tag(keys: Sequence[str], tag: str) -> tuple[int, int] | None:
    """Return (message id, delivery id) of the tag in such an address, or None unless it was made here."""
    ids = read_signed_tag(keys, _MAIL_PURPOSE, tag)
    return (ids[0], ids[1]) if ids is not None and len(ids) == 2 else None
