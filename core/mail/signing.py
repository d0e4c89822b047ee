"""Signatures for what leaves in a mail and comes back: each is good for one purpose, and has 128 bits or more.

Keyed BLAKE2b (RFC 7693), in less than half of HMAC-SHA256's time. Of several keys the first one signs, and all of them
are believed, so that keys rotate. It keeps nothing and knows no time: what is signed holds for as long as its key is
known.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b

from core.errors import ConfigError
from core.mail.address import envelope_address

SIGNATURE_BYTES = 16
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_TWO_DIGITS = [first + second for first in _DIGITS for second in _DIGITS]
_LARGEST_ID = 2**63 - 1
_TAG_LETTERS = 26
"""Five bits each."""
_LETTERS = b"abcdefghijklmnopqrstuvwxyz234567" * 8
_LOCAL_PART_CHARS = 64
_NO_KEY = "SECRET_KEY is empty, so nothing can be signed; set it, or let `postroom init` make one."


def signature(keys: Sequence[str], purpose: str, text: str) -> bytes:
    """Return the signature of the text by the first key; ConfigError where there is none."""
    if not keys or not keys[0]:
        raise ConfigError(_NO_KEY)
    return _code(keys[0], purpose, text, SIGNATURE_BYTES)


def is_signed(keys: Iterable[str], purpose: str, text: str, claimed: bytes) -> bool:
    """Tell whether one of the keys signed the text for this purpose, in a time that tells nothing of a near miss."""
    return any(hmac.compare_digest(_code(key, purpose, text, SIGNATURE_BYTES), claimed) for key in keys if key)


def signed_address(keys: Sequence[str], purpose: str, alias: str, domain: str, *ids: int) -> str:
    """Return `alias+TAG@domain` as SMTP wants it, with a tag of numbers and their signature.

    AddressError where that is no address, ConfigError where there is no key.
    """
    if not keys or not keys[0]:
        raise ConfigError(_NO_KEY)
    text = "-".join(map(_base36, ids))
    before, at_domain = _checked(alias, domain)
    local = f"{before}{text}-{_letters(keys[0], purpose, text)}"
    return f"{local}{at_domain}" if len(local) <= _LOCAL_PART_CHARS else envelope_address(f"{local}{at_domain}")


@lru_cache(maxsize=64)
def _checked(alias: str, domain: str) -> tuple[str, str]:
    """Check once what all tags share: what stands before them, and what behind."""
    before, _, behind = envelope_address(f"{alias}+0@{domain}").rpartition("0@")
    return before, f"@{behind}"


def read_signed_tag(keys: Iterable[str], purpose: str, tag: str) -> tuple[int, ...] | None:
    """Return the numbers of a tag, or None unless it is ours and for this purpose."""
    text, _, claimed = tag.lower().rpartition("-")
    if not tag.isascii() or len(tag) > 100 or not _is_signed_tag(keys, purpose, text, claimed):
        return None
    return tuple(int(one, 36) for one in text.split("-"))


def _is_signed_tag(keys: Iterable[str], purpose: str, text: str, claimed: str) -> bool:
    written = claimed.encode()
    return any(hmac.compare_digest(_letters(key, purpose, text).encode(), written) for key in keys if key)


def _letters(key: str, purpose: str, text: str) -> str:
    """Return a signature in letters and digits of base32, for a place that forgets upper case: one for each byte."""
    return _code(key, purpose, text, _TAG_LETTERS).translate(_LETTERS).decode("ascii")


def _code(key: str, purpose: str, text: str, size: int) -> bytes:
    code = keyed(key, purpose, size).copy()
    code.update(text.encode("utf-8", "surrogatepass"))
    return code.digest()


@lru_cache(maxsize=64)
def keyed(key: str, purpose: str, size: int = SIGNATURE_BYTES) -> blake2b:
    """Return the hash that makes one purpose's codes; a secret of any length becomes a key of the right one.

    It is shared: update a `copy()` of it.
    """
    derived = blake2b(key.encode(), digest_size=32, person=b"postroom").digest()
    return blake2b(f"{purpose}\0".encode(), key=derived, digest_size=size)


def _base36(number: int) -> str:
    if not 0 <= number <= _LARGEST_ID:
        raise ValueError(f"{number} is no id")
    written = ""
    while number:
        number, last = divmod(number, 36 * 36)
        written = _TWO_DIGITS[last] + written
    return written.lstrip("0") or "0"
