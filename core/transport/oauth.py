"""Signing in at a mail provider by OAuth 2, and renewing what that gave: two POSTs, nothing stored.

The authorization code with PKCE (RFC 6749 section 4.1, RFC 7636), the refresh (RFC 6749 section 6), as RFC 9700 says.
What failed for now is told from what needs a person: a garbled or missing answer never ends a sign-in.
"""

from __future__ import annotations

import json
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

from core.errors import ConfigError, TransportError
from core.pattern import pattern
from core.transport.http import HttpClient, HttpError, HttpLimits
from core.transport.smtp_reply import printable

_TOKEN = pattern(r"[\x21-\x7e]{1,16384}")
_CONTROL = pattern(r"[\x00-\x20\x7f]")
_SHOWN_CHARACTERS = 300
_LONGEST_S = 10 * 365 * 86400
_LIMITS = HttpLimits(connect_s=10, total_s=20, reply_bytes=64 * 1024)
_PASSING = frozenset({"temporarily_unavailable", "server_error", "slow_down"})
_OVER = frozenset({"invalid_grant", "interaction_required", "consent_required", "login_required"})
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class OAuthError(TransportError):
    """The provider gave no token now; the same call may work later."""

    code = "oauth"


class SignInNeeded(OAuthError):
    """The sign-in is over, revoked or was never made; only a person can sign in again."""

    code = "oauth_sign_in"


class ClientRefused(OAuthError):
    """The provider refuses this application: its client id, secret, scopes or addresses are wrong or have ended."""

    code = "oauth_client"


class TokenSource(Protocol):
    """Where an account gets its access token from; equal sources are of the same sign-in."""

    async def __call__(self, refused: str = "") -> str:
        """Return a token that is good for a while yet, and not the one that a server has `refused`; OAuthError."""
        ...


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider's two addresses, what is asked for (`scopes`), and what its first address needs besides."""

    authorization_url: str
    token_url: str
    scopes: tuple[str, ...] = ()
    parameters: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        for url in (self.authorization_url, self.token_url):
            _check_address(url)


def google() -> Provider:
    """Return Gmail and Google Workspace; without `prompt` a second sign-in would bring no refresh token."""
    return Provider(
        "https://accounts.google.com/o/oauth2/v2/auth",
        "https://oauth2.googleapis.com/token",
        ("https://mail.google.com/",),
        (("access_type", "offline"), ("prompt", "consent")),
    )


def microsoft(tenant: str = "") -> Provider:
    """Return Microsoft 365 for a directory (id or domain); empty means any organisation."""
    name = tenant or "organizations"
    if not re.fullmatch(r"[A-Za-z0-9.-]+", name):
        raise ConfigError(f"The tenant {tenant!r} is no directory id or domain.")
    base = f"https://login.microsoftonline.com/{name}/oauth2/v2.0"
    resource = "https://outlook.office.com"
    scopes = (f"{resource}/SMTP.Send", f"{resource}/IMAP.AccessAsUser.All", f"{resource}/POP.AccessAsUser.All")
    return Provider(f"{base}/authorize", f"{base}/token", (*scopes, "offline_access"))


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """This application as the provider knows it; an empty secret is that of a public client."""

    provider: Provider
    client_id: str
    client_secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What the provider gave. Lives are in seconds, None where it does not say; an empty refresh token is none new."""

    access: str = field(repr=False)
    refresh: str = field(default="", repr=False)
    access_life_s: float | None = None
    refresh_life_s: float | None = None


def new_verifier() -> str:
    """Return a PKCE code verifier of 384 random bits."""
    return secrets.token_urlsafe(48)


def sign_in_url(client: OAuthClient, redirect_url: str, state: str, verifier: str, login: str = "") -> str:
    """Return where a person signs in; the provider sends the browser back to `redirect_url` with `state` and a code."""
    provider = client.provider
    challenge = urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    parameters = {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": redirect_url,
        "scope": " ".join(provider.scopes),
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        **dict(provider.parameters),
        **({"login_hint": login} if login else {}),
    }
    separator = "&" if urlsplit(provider.authorization_url).query else "?"
    return provider.authorization_url + separator + urlencode(parameters)


async def redeem(client: OAuthClient, code: str, verifier: str, redirect_url: str) -> Tokens:
    """Trade the code of a sign-in for tokens; it can be done once. Raises OAuthError."""
    asked = {"grant_type": "authorization_code", "code": code, "code_verifier": verifier, "redirect_uri": redirect_url}
    return await _ask(client, asked)


async def renew(client: OAuthClient, refresh_token: str) -> Tokens:
    """Trade a refresh token for a new access token, and often for a new refresh token, which ends the old one.

    Raises SignInNeeded where the sign-in is over, ClientRefused, and OAuthError for what may pass.
    """
    tokens = await _ask(client, {"grant_type": "refresh_token", "refresh_token": refresh_token})
    return tokens if tokens.refresh else replace(tokens, refresh=refresh_token)


async def _ask(client: OAuthClient, asked: Mapping[str, str]) -> Tokens:
    named = {"client_id": client.client_id} | ({"client_secret": client.client_secret} if client.client_secret else {})
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    place = urlsplit(client.provider.token_url).hostname
    try:
        async with HttpClient(None, _LIMITS) as http:
            reply = await http.post(client.provider.token_url, urlencode({**asked, **named}).encode(), headers)
    except HttpError as error:
        raise OAuthError(f"{place} could not be asked for a token: {error}") from error
    answer = _object(reply.body)
    if reply.status != 200:
        told = ("code", "code_verifier", "refresh_token")
        secret = tuple(value for value in (*map(asked.get, told), client.client_secret) if value)
        raise _refusal(str(place), reply.status, answer, secret)
    return _tokens(str(place), answer)


def _refusal(place: str, status: int, answer: Mapping[str, Any], secret: tuple[str, ...]) -> OAuthError:
    """Return the error for a refusal (RFC 6749 section 5.2), without any secret that the provider repeats."""
    kind = str(answer.get("error", ""))
    described = f"{kind}: {answer.get('error_description', '')}"
    if any(one in described for one in secret):
        described = "(not shown: the provider repeats a secret)"
    said = f"{place} answered {status} {printable(described.encode(errors='replace'))[:_SHOWN_CHARACTERS]}".rstrip(": ")
    if not 400 <= status < 500 or status in (408, 425, 429) or kind in _PASSING or not kind:
        return OAuthError(said)
    return SignInNeeded(said) if kind in _OVER else ClientRefused(said)


def _tokens(place: str, answer: Mapping[str, Any]) -> Tokens:
    access, refresh = answer.get("access_token"), answer.get("refresh_token") or ""
    is_bearer = str(answer.get("token_type", "Bearer")).casefold() == "bearer"
    # What is no token could otherwise be read as a second field of the login.
    if not is_bearer or not _is_token(access) or (refresh and not _is_token(refresh)):
        raise OAuthError(f"{place} answered with no usable token.")
    return Tokens(
        access=str(access),
        refresh=str(refresh),
        access_life_s=_seconds(answer.get("expires_in")),
        refresh_life_s=_seconds(answer.get("refresh_token_expires_in")),
    )


def _is_token(value: object) -> bool:
    return isinstance(value, str) and _TOKEN.fullmatch(value) is not None


def _seconds(value: object) -> float | None:
    """Return a life in seconds; some providers write it as text."""
    try:
        seconds = float(str(value))
    except ValueError:
        return None
    return min(seconds, _LONGEST_S) if seconds > 0 else None


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return MappingProxyType({})
    return answer if isinstance(answer, dict) else MappingProxyType({})


def _check_address(url: str) -> None:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ConfigError(f"{url!r} is no address: {error}") from error
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    if not is_safe or not parts.hostname or parts.username is not None or _CONTROL.search(url):
        raise ConfigError(f"{url!r} is no https address of a sign-in provider.")
