"""An OAuth 2 authorization server of the tests' own, over real HTTP: sign-in, code, refresh with rotation, and faults.

    async with AuthorizationServer() as server:
        location = server.consent(sign_in_url)       # what the browser is sent back to
        server.access_tokens                         # those that are good

It checks PKCE, the redirect address, the client, and that each code and each refresh token is used once; one that
comes a second time ends the whole sign-in (RFC 9700 section 4.14.2). `faults` are answered in turn before it works.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from base64 import urlsafe_b64encode
from collections import deque
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit


@dataclass(slots=True)
class Fault:
    """What is answered instead: a status with a body, after a while, or (status 0) a closed connection."""

    status: int = 503
    body: bytes = b"busy"
    delay_s: float = 0


@dataclass(slots=True)
class AuthorizationServer:
    """Listens on `port`; `client_secret` empty is a public client. `rotates` gives a new refresh token each time."""

    client_id: str = "postroom"
    client_secret: str = "client-secret"
    rotates: bool = True
    life_s: float | None = 3600
    answer_delay_s: float = 0
    port: int = 0
    faults: deque[Fault] = field(default_factory=deque)
    access_tokens: list[str] = field(default_factory=list)
    refresh_token: str = ""
    requests: list[dict[str, str]] = field(default_factory=list)
    is_revoked: bool = False
    reuses: int = 0
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)
    _spent: set[str] = field(default_factory=set)
    _server: Any = None

    async def __aenter__(self) -> AuthorizationServer:
        self._server = await asyncio.start_server(self._converse, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def account(self, **values: Any) -> dict[str, Any]:
        """Return the fields of an OAuthAccount of this server."""
        return {
            "name": "Office mail",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "authorization_url": f"{self.url}/authorize",
            "token_url": f"{self.url}/token",
            "scopes": "mail offline",
            **values,
        }

    def consent(self, sign_in_url: str) -> str:
        """Sign in as a person would, and return where the browser is sent back to."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(sign_in_url).query).items()}
        assert asked["response_type"] == "code"
        assert asked["client_id"] == self.client_id
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    def sign_in(self) -> dict[str, Any]:
        """Sign in without a browser; returns the fields of an account that is signed in."""
        given = self._give()
        return self.account(
            status="ready", access_token=given["access_token"], refresh_token=given["refresh_token"], version=1
        )

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            fields = {name: values[0] for name, values in parse_qs((await reader.readexactly(length)).decode()).items()}
            self.requests.append(fields)
            status, body = await self._answer(fields)
            if status:
                writer.write(f"HTTP/1.1 {status} Word\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, fields: dict[str, str]) -> tuple[int, bytes]:
        if self.faults:
            fault = self.faults.popleft()
            await asyncio.sleep(fault.delay_s)
            return fault.status, fault.body
        status, answer = self._grant(fields)
        # The tokens are changed by now: who gives up waiting has lost them.
        await asyncio.sleep(self.answer_delay_s)
        return status, json.dumps(answer).encode()

    def _grant(self, fields: dict[str, str]) -> tuple[int, dict[str, Any]]:
        if fields.get("client_id") != self.client_id or fields.get("client_secret", "") != self.client_secret:
            return 401, {"error": "invalid_client", "error_description": "no such client, or another secret"}
        if fields.get("grant_type") == "authorization_code":
            return self._redeem(fields)
        return self._refresh(fields.get("refresh_token", ""))

    def _redeem(self, fields: dict[str, str]) -> tuple[int, dict[str, Any]]:
        asked = self._codes.pop(fields.get("code", ""), None)
        challenge = urlsafe_b64encode(sha256(fields.get("code_verifier", "").encode()).digest()).rstrip(b"=").decode()
        if asked is None or asked["code_challenge"] != challenge or asked["redirect_uri"] != fields.get("redirect_uri"):
            return 400, {"error": "invalid_grant", "error_description": "no such code"}
        self.is_revoked = False
        return 200, self._give()

    def _refresh(self, token: str) -> tuple[int, dict[str, Any]]:
        if token in self._spent:
            self.reuses += 1
            self.is_revoked = True
        if self.is_revoked or token != self.refresh_token:
            return 400, {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}
        return 200, self._give()

    def _give(self) -> dict[str, Any]:
        given: dict[str, Any] = {"access_token": f"access-{secrets.token_urlsafe(16)}", "token_type": "Bearer"}
        self.access_tokens.append(given["access_token"])
        if self.life_s is not None:
            given["expires_in"] = self.life_s
        if self.rotates or not self.refresh_token:
            self._spent.add(self.refresh_token)
            self.refresh_token = given["refresh_token"] = f"refresh-{secrets.token_urlsafe(16)}"
        return given
