"""DKIM signatures (RFC 6376) by RSA and Ed25519 keys (RFC 8463), relaxed/relaxed, one for each key.

The same mail and keys give the same bytes: the signature's time is the mail's Date. What a reader sees is sealed, named
in `h=` once more than it occurs, so that no second From, Subject or Content-Type can be slipped in (section 8.15).
It signs what `compose` writes, with CRLF line ends; it verifies nothing and asks no DNS.
"""

from __future__ import annotations

from base64 import b64encode
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import mktime_tz, parsedate_tz
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from core.errors import UserError

_RSA_BITS = 2048
_RSA_MOST_BITS = 4096
"""Every verifier understands keys up to this size (RFC 8301 section 3.2)."""

_SEALED = (
    *(b"from", b"to", b"cc", b"reply-to", b"subject", b"date", b"message-id", b"in-reply-to", b"references"),
    *(b"mime-version", b"content-type"),
)
"""Signed, and none can be added, even where the mail has none."""
_SEALED_IF_THERE = (
    *(b"sender", b"list-id", b"list-help", b"list-unsubscribe", b"list-unsubscribe-post", b"list-owner"),
    *(b"feedback-id", b"auto-submitted", b"importance", b"x-priority", b"content-transfer-encoding"),
    *(b"content-disposition", b"content-language"),
)
"""The same where the mail has one; a mailing list may give its own to a mail without."""

_NAMES_A_LINE = 5
_LINE_CHARS = 72

PrivateKey = RSAPrivateKey | Ed25519PrivateKey


class DkimError(UserError):
    """A key that cannot sign, or a mail that cannot be signed."""

    code = "dkim"


class Algorithm(StrEnum):
    """What a key is, in the word of its record's `k=`."""

    RSA = "rsa"
    ED25519 = "ed25519"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key, and the domain and selector its public half is published under.

    `domain` is in lower case and IDNA form. With `lifetime`, signatures expire so long after the mail's Date.
    """

    domain: str
    selector: str
    private: PrivateKey = field(repr=False)
    lifetime: timedelta | None = None


def sign(content: bytes, keys: Sequence[SigningKey]) -> bytes:
    """Return a mail with a signature of each key above its header; DkimError for a mail without From."""
    head, _, body = content.partition(b"\r\n\r\n")
    fields = _fields(head)
    if b"from" not in fields:
        raise DkimError("A mail without From cannot be signed.")
    names, signed = _selection(fields)
    body_hash = b64encode(sha256(relaxed_body(body)).digest()).decode()
    sent_at = _seconds(fields)
    return b"".join([*(_signature(key, names, signed, body_hash, sent_at) for key in keys), content])


# Canonical forms, RFC 6376 sections 3.4.2 and 3.4.4.


def _fields(head: bytes) -> Mapping[bytes, list[bytes]]:
    """Return the header's relaxed values by name, each name's top to bottom."""
    fields: dict[bytes, list[bytes]] = defaultdict(list)
    for line in collapsed(head.replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ")).split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if colon:
            fields[name.rstrip(b" ").lower()].append(value.strip(b" "))
    return fields


def relaxed_body(body: bytes) -> bytes:
    """Return a body in its relaxed form (section 3.4.4)."""
    body = collapsed(body).replace(b" \r\n", b"\r\n").rstrip(b" \r\n")
    return body + b"\r\n" if body else b""


def collapsed(data: bytes) -> bytes:
    """Return the data with each run of blanks and tabs as one blank."""
    data = data.replace(b"\t", b" ")
    while b"  " in data:
        data = data.replace(b"  ", b" ")
    return data


# One signature.


def _selection(fields: Mapping[bytes, list[bytes]]) -> tuple[str, bytes]:
    """Return the names for `h=`, folded, and the header as it is hashed: of each name the lowest one first (5.4.2)."""
    names: list[bytes] = []
    lines: list[bytes] = []
    for name in (*_SEALED, *(name for name in _SEALED_IF_THERE if name in fields)):
        values = fields.get(name, ())
        lines += (b"%b:%b\r\n" % (name, value) for value in reversed(values))
        names += [name] * (len(values) + 1)
    return _listed(tuple(names)), b"".join(lines)


@lru_cache(maxsize=256)
def _listed(names: tuple[bytes, ...]) -> str:
    rows = (b":".join(names[at : at + _NAMES_A_LINE]) for at in range(0, len(names), _NAMES_A_LINE))
    return b":\r\n ".join(rows).decode("ascii")


def _signature(key: SigningKey, names: str, signed: bytes, body_hash: str, sent_at: int | None) -> bytes:
    """Return one DKIM-Signature header. It is folded at single spaces, so its relaxed form is itself on one line."""
    times = "" if sent_at is None else f" t={sent_at};"
    if sent_at is not None and key.lifetime is not None:
        times += f" x={sent_at + int(key.lifetime.total_seconds())};"
    value = (
        f"v=1; a={algorithm_of(key.private)}-sha256; c=relaxed/relaxed;\r\n d={key.domain}; s={key.selector};{times}"
        f"\r\n h={names};\r\n bh={body_hash};\r\n b="
    ).encode("ascii")
    proof = _proof(key.private, signed + b"dkim-signature:" + value.replace(b"\r\n ", b" "))
    return b"DKIM-Signature: %b%b\r\n" % (value, b"\r\n ".join(_rows(b64encode(proof))))


def _proof(private: PrivateKey, data: bytes) -> bytes:
    if isinstance(private, Ed25519PrivateKey):
        return private.sign(sha256(data).digest())  # RFC 8463 section 3: of the hash, not of the data.
    return private.sign(data, PKCS1v15(), SHA256())


def _rows(coded: bytes) -> Iterable[bytes]:
    return (coded[at : at + _LINE_CHARS] for at in range(0, len(coded), _LINE_CHARS))


def _seconds(fields: Mapping[bytes, list[bytes]]) -> int | None:
    """Return the Date as seconds since 1970; None where there is none to be read."""
    date = parsedate_tz(fields[b"date"][0].decode("ascii", "replace")) if b"date" in fields else None
    try:
        seconds = -1 if date is None else int(mktime_tz(date))
    except (ValueError, OverflowError):
        return None
    return seconds if seconds >= 0 else None


# Keys.


def new_private_key(algorithm: Algorithm) -> str:
    """Return a new private key as PKCS 8 PEM. One for RSA takes up to half a second."""
    made = Ed25519PrivateKey.generate() if algorithm is Algorithm.ED25519 else generate_private_key(65537, _RSA_BITS)
    return made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")


@lru_cache(maxsize=256)
def read_private_key(pem: str) -> PrivateKey:
    """Read a PEM, or raise DkimError for what is none, is encrypted, or is neither Ed25519 nor RSA of fitting size."""
    try:
        private = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise DkimError("The private key cannot be read; paste a PEM file that has no passphrase.") from error
    if isinstance(private, Ed25519PrivateKey):
        return private
    if isinstance(private, RSAPrivateKey) and _RSA_BITS <= private.key_size <= _RSA_MOST_BITS:
        return private
    raise DkimError(f"The private key must be Ed25519, or RSA of {_RSA_BITS} to {_RSA_MOST_BITS} bits.")


def algorithm_of(private: PrivateKey) -> Algorithm:
    """Return the kind of a key."""
    return Algorithm.ED25519 if isinstance(private, Ed25519PrivateKey) else Algorithm.RSA


def public_key_of(private: PrivateKey) -> str:
    """Return the `p=` of the key's record: SubjectPublicKeyInfo for RSA, the bare key for Ed25519, in base64."""
    public = private.public_key()
    if isinstance(private, Ed25519PrivateKey):
        return b64encode(public.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode("ascii")
    return b64encode(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode("ascii")


def record_name(domain: str, selector: str) -> str:
    """Return the DNS name that a key is published under (RFC 6376 section 3.6.2.1)."""
    return f"{selector}._domainkey.{domain}"


def record_text(algorithm: Algorithm | str, public_key: str) -> str:
    """Return what is published there, as one text; DNS carries it in pieces of at most 255 bytes."""
    return f"v=DKIM1; k={algorithm}; p={public_key}"


def domains_above(domain: str) -> Iterator[str]:
    """Return the domains whose keys may sign mail from `domain`, nearest first: itself and its parents but the last.

    DMARC takes a parent's signature as the domain's own where both are of one organisation (RFC 7489 section 3.1.1).
    """
    labels = domain.split(".")
    yield domain
    yield from (".".join(labels[at:]) for at in range(1, len(labels) - 1))
