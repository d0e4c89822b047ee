"""OAuth 2 against an authorization server: the code with PKCE, the refresh, and errors told apart."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ConfigError
from core.transport import oauth
from core.transport.oauth import (
    ClientRefused,
    OAuthClient,
    OAuthError,
    Provider,
    SignInNeeded,
    google,
    microsoft,
    new_verifier,
    redeem,
    renew,
    sign_in_url,
)
from tests.servers.authorization_server import AuthorizationServer, Fault

pytestmark = pytest.mark.anyio

BACK = "https://postroom.test/servers/oauth/callback"


@pytest.fixture
async def server() -> AsyncIterator[AuthorizationServer]:
    async with AuthorizationServer() as running:
        yield running


@pytest.fixture
def client(server: AuthorizationServer) -> OAuthClient:
    provider = Provider(f"{server.url}/authorize?lang=en", f"{server.url}/token", ("mail", "offline"))
    return OAuthClient(provider, server.client_id, server.client_secret)


async def test_a_code_becomes_tokens_once(server: AuthorizationServer, client: OAuthClient) -> None:
    verifier = new_verifier()
    back = parse_qs(urlsplit(server.consent(sign_in_url(client, BACK, "state", verifier))).query)
    assert back["state"] == ["state"]
    tokens = await redeem(client, back["code"][0], verifier, BACK)
    assert (tokens.access, tokens.refresh) == (server.access_tokens[0], server.refresh_token)
    assert tokens.access_life_s == 3600
    assert tokens.access not in repr(tokens)
    with pytest.raises(SignInNeeded):
        await redeem(client, back["code"][0], verifier, BACK)


async def test_a_stolen_code_is_worth_nothing_without_the_verifier(
    server: AuthorizationServer, client: OAuthClient
) -> None:
    back = parse_qs(urlsplit(server.consent(sign_in_url(client, BACK, "state", new_verifier()))).query)
    with pytest.raises(SignInNeeded):
        await redeem(client, back["code"][0], new_verifier(), BACK)


@pytest.mark.parametrize("rotates", [True, False])
async def test_renewing(server: AuthorizationServer, client: OAuthClient, rotates: bool) -> None:
    first = server.sign_in()["refresh_token"]
    server.rotates = rotates
    tokens = await renew(client, first)
    assert tokens.access == server.access_tokens[-1]
    assert (tokens.refresh != first) is rotates
    assert tokens.refresh == server.refresh_token


def refusal(kind: str, status: int = 400) -> Fault:
    return Fault(status, json.dumps({"error": kind, "error_description": "words of the provider"}).encode())


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (refusal("invalid_grant"), SignInNeeded),
        (refusal("interaction_required"), SignInNeeded),
        (refusal("invalid_client", 401), ClientRefused),
        (refusal("unauthorized_client"), ClientRefused),
        (refusal("invalid_scope"), ClientRefused),
        (refusal("temporarily_unavailable"), OAuthError),
        (refusal("invalid_grant", 500), OAuthError),
        (refusal("invalid_grant", 429), OAuthError),
        (Fault(503), OAuthError),
        (Fault(400, b"<html>a portal</html>"), OAuthError),
        (Fault(404, b""), OAuthError),
        (Fault(302, b""), OAuthError),
        (Fault(0), OAuthError),
        (Fault(200, b""), OAuthError),
        (Fault(200, b"[" * 5000), OAuthError),
        (Fault(200, b"x" * 100_000), OAuthError),
        (Fault(200, b"[1]"), OAuthError),
        (Fault(200, b'{"access_token": ""}'), OAuthError),
        (Fault(200, b'{"access_token": 7}'), OAuthError),
        (Fault(200, rb'{"access_token": "a\u0001auth=Bearer b"}'), OAuthError),
        (Fault(200, rb'{"access_token": "a\r\nQUIT"}'), OAuthError),
        (Fault(200, b'{"access_token": "a", "refresh_token": "b c"}'), OAuthError),
        (Fault(200, b'{"access_token": "a", "token_type": "mac"}'), OAuthError),
    ],
    ids=lambda value: f"{value.status} {value.body[:40]!r}" if isinstance(value, Fault) else value.__name__,
)
async def test_what_failed_for_now_is_told_from_what_needs_a_person(
    server: AuthorizationServer, client: OAuthClient, fault: Fault, kind: type[OAuthError]
) -> None:
    """Only a clear word of the provider ends a sign-in; garbage never does."""
    server.faults.append(fault)
    with pytest.raises(OAuthError) as caught:
        await renew(client, server.sign_in()["refresh_token"])
    assert type(caught.value) is kind


async def test_a_provider_that_is_slow_or_away(
    server: AuthorizationServer, client: OAuthClient, free_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oauth, "_LIMITS", replace(oauth._LIMITS, total_s=0.1))
    server.faults.append(Fault(200, b"{}", delay_s=0.2))
    with pytest.raises(OAuthError, match="could not be asked"):
        await renew(client, "refresh-token")
    away = replace(client, provider=replace(client.provider, token_url=f"http://127.0.0.1:{free_tcp_port}/token"))
    with pytest.raises(OAuthError, match="could not be asked"):
        await renew(away, "refresh-token")


async def test_no_secret_is_in_an_error_and_a_strangers_words_are_clean(
    server: AuthorizationServer, client: OAuthClient
) -> None:
    body = {"error": "invalid_grant", "error_description": "your token refresh-secret, and client-secret"}
    server.faults.append(Fault(400, json.dumps(body).encode()))
    with pytest.raises(SignInNeeded) as caught:
        await renew(client, "refresh-secret")
    assert "refresh-secret" not in str(caught.value)
    assert "client-secret" not in repr(client) + str(caught.value)
    server.faults.append(
        Fault(400, json.dumps({"error": "invalid_grant", "error_description": "\x1b[31m" * 999}).encode())
    )
    with pytest.raises(SignInNeeded) as caught:
        await renew(client, "refresh-secret")
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 500
    token = "token-" * 20
    server.faults.append(Fault(400, json.dumps({"error": token}).encode()))
    with pytest.raises(OAuthError) as refused:
        await renew(client, token)
    assert "token-" not in str(refused.value)
    server.faults.append(Fault(400, b'{"error": "invalid_grant", "error_description": "\\ud800"}'))
    with pytest.raises(SignInNeeded):
        await renew(client, "refresh-secret")


@given(st.binary(max_size=200))
def test_any_answer_is_tokens_or_an_error(body: bytes) -> None:
    answer = oauth._object(body)
    with suppress(OAuthError):
        oauth._tokens("x.test", answer)
    assert isinstance(oauth._refusal("x.test", 400, answer, ()), OAuthError)


@pytest.mark.parametrize(("life", "seconds"), [(3599, 3599), ("3599", 3599), (-1, None), ("soon", None), (None, None)])
def test_lives(life: object, seconds: float | None) -> None:
    assert oauth._tokens("x.test", {"access_token": "a", "expires_in": life}).access_life_s == seconds


@pytest.mark.parametrize("life", [float("nan"), float("inf"), 1e300])
def test_a_life_without_end_has_one(life: float) -> None:
    seconds = oauth._tokens("x.test", {"access_token": "a", "expires_in": life}).access_life_s
    assert seconds is None or seconds <= 10 * 365 * 86400


def test_the_known_providers() -> None:
    url = sign_in_url(OAuthClient(google(), "id"), BACK, "s", new_verifier(), "kim@gmail.test")
    asked = parse_qs(urlsplit(url).query)
    assert asked["scope"] == ["https://mail.google.com/"]
    assert asked["access_type"] == ["offline"]
    assert asked["login_hint"] == ["kim@gmail.test"]
    assert "offline_access" in microsoft().scopes
    assert "/contoso.test/" in microsoft("contoso.test").token_url
    with pytest.raises(ConfigError, match="tenant"):
        microsoft("../evil.test")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://provider.test/token",
        "https://",
        "https://a@b.test/",
        "ftp://x.test",
        "https://x.test/\r\nHost: y",
        "http://[",
    ],
)
def test_addresses_that_are_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        Provider("https://provider.test/authorize", url)
