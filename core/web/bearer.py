"""Programs that log in: a bearer token in the Authorization header (RFC 6750), also under the scheme `Token`.

A token's row is read with every request, so what ends it (revocation, expiry, its user switched off) ends it at once.
Only that a text has the row's hash is remembered for a while, under a key that never leaves this process: to find it
out takes the better part of a tenth of a second.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections import OrderedDict
from typing import Any

from fastapi import Request

from core.runtime import get_model, runtime
from core.web.errors import LoginNeeded, is_api
from core.web.session import client_address

_SCHEMES = ("bearer", "token")
_REMEMBERED_S = 300
_MOST_REMEMBERED = 1_000
_UNKNOWN = "There is no such token."


class BadToken(LoginNeeded):
    """A token came along that is nobody's, or no longer good."""

    code = "bad_token"
    challenge = 'Bearer error="invalid_token"'


class KnownTokens:
    """Which texts were found to have which hashes a short while ago, and the checks that are under way."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._until: OrderedDict[bytes, float] = OrderedDict()
        self._checks: dict[bytes, asyncio.Task[bool]] = {}

    def digest(self, text: str, stored: str) -> bytes:
        """Return what stands for a text and a hash here."""
        return hashlib.blake2b(f"{text} {stored}".encode("utf-8", "surrogatepass"), key=self._key).digest()

    def has(self, digest: bytes) -> bool:
        """Tell whether the two were found to fit a short while ago."""
        return self._until.get(digest, 0) > time.monotonic()

    def is_checking(self, digest: bytes) -> bool:
        """Tell whether somebody waits for the answer already."""
        return digest in self._checks

    async def check(self, digest: bytes, text: str, stored: str) -> bool:
        """Find out whether a text has a hash; requests that come together ask once."""
        if digest not in self._checks:
            self._checks[digest] = asyncio.create_task(runtime().hasher.matches(stored, text))
            self._checks[digest].add_done_callback(lambda _: self._checks.pop(digest))
        if not await asyncio.shield(self._checks[digest]):
            return False
        self._until[digest] = time.monotonic() + _REMEMBERED_S
        while len(self._until) > _MOST_REMEMBERED:
            self._until.popitem(last=False)
        return True


async def token_of(request: Request) -> Any:
    """Return the ApiToken that a request to the API brings, with its user; None where it brings none.

    Raises BadToken, and TooManyTries for an address that keeps guessing.
    """
    text = _text_of(request)
    if text is None or not is_api(request):
        return None
    token = await get_model("ApiToken").named_in(text)
    address = client_address(request)
    if not await _is_text_of(token, text, request, address):
        raise BadToken(_UNKNOWN)
    if token.fault:
        raise BadToken(token.fault)
    await token.note_use(address)
    return token


def _text_of(request: Request) -> str | None:
    given = request.headers.getlist("authorization")
    if len(given) > 1:
        raise BadToken("Send one Authorization header.")
    scheme, _, text = given[0].partition(" ") if given else ("", "", "")
    return text.strip() if scheme.lower() in _SCHEMES else None


async def _is_text_of(token: Any, text: str, request: Request, address: str) -> bool:
    known: KnownTokens = request.app.state.known_tokens
    stored = token.secret_hash if token is not None else ""
    digest = known.digest(text, stored)
    if known.has(digest):
        return True
    tries = request.app.state.token_tries
    if not known.is_checking(digest):
        tries.count(address)
    is_right = await known.check(digest, text, stored)
    if is_right:
        tries.forget(address)
    return is_right
