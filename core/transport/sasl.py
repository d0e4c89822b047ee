"""What a login says to a mail server: SASL initial responses, and whether a server repeats a secret.

PLAIN (RFC 4616), OAUTHBEARER (RFC 7628 section 3.1) and XOAUTH2 (Google's and Microsoft's). Pure: nothing is sent.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable

from core.pattern import pattern

_BASE64_RUN = pattern(rb"[A-Za-z0-9+/]{8,}")


def plain(username: str, password: str) -> str:
    """Return the base64 text of a PLAIN login."""
    return _encoded(f"\0{username}\0{password}")


def xoauth2(username: str, token: str) -> str:
    """Return the base64 text of an XOAUTH2 login."""
    return _encoded(f"user={username}\x01auth=Bearer {token}\x01\x01")


def oauthbearer(username: str, host: str, port: int, token: str) -> str:
    """Return the base64 text of an OAUTHBEARER login."""
    user = username.replace("=", "=3D").replace(",", "=2C")
    return _encoded(f"n,a={user},\x01host={host}\x01port={port}\x01auth=Bearer {token}\x01\x01")


def repeats_a_secret(raw: bytes, secrets: Iterable[str]) -> bool:
    """Tell whether a server's words hold one of these, plain or in the base64 of any login."""
    texts = [raw, *(_decoded(run) for run in _BASE64_RUN.findall(raw))]
    return any(secret and secret.encode() in text for secret in secrets for text in texts)


def challenge_words(raw: bytes) -> bytes:
    """Return what a server's base64 challenge says, or nothing where it is none."""
    return _decoded(raw.strip()) if _BASE64_RUN.match(raw.strip()) else b""


def _encoded(text: str) -> str:
    return b64encode(text.encode()).decode("ascii")


def _decoded(run: bytes) -> bytes:
    """Return what a run of base64 says, its padding made good."""
    run = run.rstrip(b"=")
    whole = run[:-1] if len(run) % 4 == 1 else run
    return b64decode(whole + b"=" * (-len(whole) % 4))
