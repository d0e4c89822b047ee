"""The envelope sender of a mail, `bounce+TAG@domain`, and what its tag says when a report comes back to it.

The tag names the message, or the one delivery where the mail was sent to one recipient alone, and carries a signature
that is good for nothing else. It stands in no header that the recipient's program shows or answers to, and it is not
the reply token: who can answer a mail cannot report it undeliverable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.mail.signing import read_signed_tag, signed_address

_PURPOSE = "bounce"


@dataclass(frozen=True, slots=True)
class Origin:
    """What a report is about. `delivery_id` is None where the mail had several recipients."""

    message_id: int
    delivery_id: int | None = None


def return_path(keys: Sequence[str], alias: str, domain: str, message_id: int, delivery_id: int | None = None) -> str:
    """Return `alias+TAG@domain`; the ids are those of the rows. AddressError where that is no address."""
    ids = (message_id,) if delivery_id is None else (message_id, delivery_id)
    return signed_address(keys, _PURPOSE, alias, domain, *ids)


def read_return_tag(keys: Sequence[str], tag: str) -> Origin | None:
    """Return what the tag says, or None unless it was signed here for this purpose; never raises."""
    ids = read_signed_tag(keys, _PURPOSE, tag)
    return Origin(*ids) if ids is not None and len(ids) <= 2 else None
