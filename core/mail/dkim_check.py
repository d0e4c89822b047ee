"""Whose DKIM signatures a mail carries, and whether they hold (RFC 6376; RFC 8301 on what is too weak; RFC 8463).

Takes a mail's bytes and what somebody else has looked up; every step is linear in the mail. A signature over a part of
the body (`l=`) proves nothing of the rest, and so counts for nothing. Nor does any in a header that another reader may
see otherwise: it would vouch for a From that is not the one shown.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from core.mail.address import domain_of
from core.mail.authentication import Check
from core.mail.dkim import collapsed, relaxed_body
from core.mail.published import tags_of
from core.pattern import pattern

MOST_SIGNATURES = 5
"""Of more, the uppermost are looked at: each costs a question to the DNS."""
_HEADER_BYTES = 256 * 1024
_RSA_LEAST_BITS = 1024
_CLOCKS_APART = timedelta(hours=1)
_TIME_DIGITS = 12
_FORMS = ("simple", "relaxed")
_FIELD = pattern(rb"[!-9;-~]{1,200}[ \t]*:[^\r]*(?:\r\n[ \t][^\r]*)*")


@dataclass(frozen=True, slots=True)
class Signature:
    """A DKIM-Signature header: its tags, and the field whole as it came, with its name and without its line end."""

    tags: Mapping[str, str]
    field: bytes

    @property
    def domain(self) -> str:
        return domain_of(f"@{self.tags.get('d', '')}")

    @property
    def key_name(self) -> str:
        """The name that its key is published under."""
        return f"{self.tags.get('s', '')}._domainkey.{self.domain}"


class Sealed:
    """A mail, taken apart for checking its signatures."""

    def __init__(self, raw: bytes):
        if raw.count(b"\n") != raw.count(b"\r\n"):
            raw = raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        head, _, self._body = raw.partition(b"\r\n\r\n")
        fields = _unfolded(head[:_HEADER_BYTES])
        self._fields: dict[bytes, list[bytes]] = defaultdict(list)
        for field in fields:
            self._fields[field.partition(b":")[0].rstrip(b" \t").lower()].append(field)
        self._is_plain = (
            len(head) <= _HEADER_BYTES and len(self._fields[b"from"]) == 1 and all(map(_FIELD.fullmatch, fields))
        )
        self._hashes: dict[str, bytes] = {}

    @property
    def signatures(self) -> tuple[Signature, ...]:
        """The signatures, top to bottom, as many as are looked at."""
        fields = self._fields.get(b"dkim-signature", ())[:MOST_SIGNATURES]
        return tuple(Signature(tags_of(_value(field)), field) for field in fields)

    def check(self, signature: Signature, keys: Sequence[str] | None, now: datetime) -> Check:
        """Check one signature by the texts published at its `key_name`; None for `keys` where nobody answered."""
        fault = _fault(signature, now) if self._is_plain else "The header can be read in more than one way."
        if fault:
            return Check("dkim", "permerror", signature.domain, fault)
        if keys is None:
            return Check("dkim", "temperror", signature.domain, "The DNS did not answer.")
        if len(keys) != 1:
            return Check("dkim", "permerror", signature.domain, f"{len(keys)} keys are published.")
        if fault := _key_fault(signature, tags_of(keys[0])):
            return Check("dkim", "permerror", signature.domain, fault)
        if _decoded(signature.tags["bh"]) != self._body_hash(_forms(signature)[1]):
            return Check("dkim", "fail", signature.domain, "The body was changed.")
        return self._proven(signature, tags_of(keys[0]))

    def _proven(self, signature: Signature, key: Mapping[str, str]) -> Check:
        proof, data = _decoded(signature.tags["b"]), self._signed(signature)
        try:
            if signature.tags["a"] == "ed25519-sha256":
                Ed25519PublicKey.from_public_bytes(_decoded(key["p"])).verify(proof, sha256(data).digest())
            else:
                public = load_der_public_key(_decoded(key["p"]))
                if not isinstance(public, RSAPublicKey) or public.key_size < _RSA_LEAST_BITS:
                    return Check("dkim", "permerror", signature.domain, "Its key is too short, or none for RSA.")
                public.verify(proof, data, PKCS1v15(), SHA256())
        except InvalidSignature:
            return Check("dkim", "fail", signature.domain, "The header was changed, or the key is another's.")
        except (ValueError, UnsupportedAlgorithm) as error:
            return Check("dkim", "permerror", signature.domain, f"Its key cannot be read: {error}")
        return Check("dkim", "pass", signature.domain)

    def _signed(self, signature: Signature) -> bytes:
        """Return the header as it was signed: of each name the lowest one first (section 5.4.2)."""
        left = {name: list(fields) for name, fields in self._fields.items()}
        form = _forms(signature)[0]
        lines = []
        for name in signature.tags["h"].lower().encode().split(b":"):
            if fields := left.get(name.strip()):
                lines.append(_in_form(fields.pop(), form) + b"\r\n")
        return b"".join([*lines, _in_form(_without_proof(signature.field), form)])

    def _body_hash(self, form: str) -> bytes:
        if form not in self._hashes:
            body = relaxed_body(self._body) if form == "relaxed" else _simple_body(self._body)
            self._hashes[form] = sha256(body).digest()
        return self._hashes[form]


def _fault(signature: Signature, now: datetime) -> str:
    """Say what is wrong with a signature whatever its key, or nothing."""
    tags = signature.tags
    missing = [tag for tag in ("v", "a", "b", "bh", "d", "h", "s") if not tags.get(tag)]
    if missing:
        return f"It has no {', '.join(missing)}."
    if tags["v"] != "1" or tags["a"] not in ("rsa-sha256", "ed25519-sha256"):
        return f"Its form v={tags['v'][:20]}; a={tags['a'][:40]} does not count."
    if not set(_forms(signature)) <= set(_FORMS):
        return "Its canonical form is unknown."
    if "from" not in [name.strip() for name in tags["h"].lower().split(":")]:
        return "It does not cover From."
    if "l" in tags:
        return "It covers a part of the body only."
    identity = domain_of(tags.get("i", f"@{tags['d']}"))
    if identity != signature.domain and not identity.endswith(f".{signature.domain}"):
        return "Its identity is of another domain."
    return _time_fault(tags, now)


def _time_fault(tags: Mapping[str, str], now: datetime) -> str:
    made, ends = (int(tags[tag][:_TIME_DIGITS]) if tags.get(tag, "").isdecimal() else None for tag in ("t", "x"))
    if made is not None and made > (now + _CLOCKS_APART).timestamp():
        return "It is of the future."
    if ends is not None and ends < now.timestamp():
        return "It has expired."
    return ""


def _key_fault(signature: Signature, key: Mapping[str, str]) -> str:
    if key.get("v", "DKIM1") != "DKIM1" or "p" not in key:
        return "What is published is no key."
    if not key["p"]:
        return "Its key was revoked."
    if key.get("k", "rsa") != signature.tags["a"].partition("-")[0]:
        return "The key is of another kind."
    if "sha256" not in key.get("h", "sha256").split(":"):
        return "The key does not allow sha256."
    if not {"email", "*"} & set(key.get("s", "*").split(":")):
        return "The key is not for e-mail."
    strict = "s" in key.get("t", "").split(":")
    if strict and domain_of(signature.tags.get("i", f"@{signature.domain}")) != signature.domain:
        return "The key does not speak for subdomains."
    return ""


def _forms(signature: Signature) -> tuple[str, str]:
    header, _, body = signature.tags.get("c", "simple/simple").lower().partition("/")
    return header, body or "simple"


def _unfolded(head: bytes) -> list[bytes]:
    """Return the header's fields, each with the line ends within it."""
    fields: list[list[bytes]] = []
    for line in head.split(b"\r\n"):
        if line[:1] in (b" ", b"\t") and fields:
            fields[-1].append(line)
        else:
            fields.append([line])
    return [b"\r\n".join(lines) for lines in fields]


def _value(field: bytes) -> str:
    return field.partition(b":")[2].decode("utf-8", "replace")


def _in_form(field: bytes, form: str) -> bytes:
    if form == "simple":
        return field
    name, _, value = field.partition(b":")
    return name.strip().lower() + b":" + collapsed(value.replace(b"\r\n", b"")).strip(b" ")


def _without_proof(field: bytes) -> bytes:
    """Return a signature's field with an empty `b=`, and all else as it is (section 3.7)."""
    name, colon, value = field.partition(b":")
    parts = value.split(b";")
    emptied = [part[: part.index(b"=") + 1] if part.partition(b"=")[0].strip() == b"b" else part for part in parts]
    return name + colon + b";".join(emptied)


def _simple_body(body: bytes) -> bytes:
    end = len(body)
    while body.endswith(b"\r\n", 0, end):
        end -= 2
    return body[:end] + b"\r\n"


def _decoded(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
