"""HTTP to a service of others: one POST at a time, bounded in time and size, with no redirect followed.

It knows sockets and bytes, not records. Whether a request may have been taken is told apart by what was written, not
by guessing from the error (RFC 9110 section 9.2.2: a POST must not be repeated blindly).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self
from urllib.parse import urlsplit

from core.errors import TransportError
from core.transport.peer import PeerPolicy, PeerRefused

if TYPE_CHECKING:
    import httpx2


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """How long and how much."""

    connect_s: float = 10.0
    total_s: float = 30.0
    """From the first byte of the connection to the last one of the answer, however slowly it drips."""
    reply_bytes: int = 64 * 1024


_DEFAULT_LIMITS = HttpLimits()


@dataclass(frozen=True, slots=True)
class HttpReply:
    """An answer: `headers` by lower-case name, `body` cut at the limit (`is_cut`)."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    is_cut: bool = False

    @property
    def text(self) -> str:
        """The body as text, whatever it holds."""
        return self.body.decode("utf-8", "replace")


class HttpError(TransportError):
    """There is no answer. `was_written` says whether the whole request had left, and so may have been carried out."""

    code: ClassVar[str] = "http"

    def __init__(self, words: str, *, was_written: bool):
        self.was_written = was_written
        super().__init__(words)


class HttpClient:
    """A few kept connections to services of others; an async context manager.

    `policy` judges a host's addresses, and the one that was really reached before anything is written to it; None lets
    all pass.
    """

    def __init__(self, policy: PeerPolicy | None, limits: HttpLimits = _DEFAULT_LIMITS):
        self._policy = policy
        self._limits = limits
        self._client: httpx2.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def post(self, url: str, content: bytes, headers: Mapping[str, str]) -> HttpReply:
        """Send a body and return the answer, whatever its status; HttpError where there is none."""
        import httpx2  # The library is heavy, and most commands never need it.

        progress = _Progress(self._policy, url)
        try:
            async with asyncio.timeout(self._limits.total_s):
                return await self._post(url, content, headers, progress)
        except TimeoutError as error:
            words = f"no answer within {self._limits.total_s:g} s"
            raise HttpError(words, was_written=progress.was_written) from error
        except PeerRefused as error:
            raise HttpError(str(error), was_written=False) from error
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OSError) as error:
            words = f"{type(error).__name__}: {error}".rstrip(": ")
            raise HttpError(words, was_written=progress.was_written) from error

    async def _post(self, url: str, content: bytes, headers: Mapping[str, str], progress: _Progress) -> HttpReply:
        extensions = {"trace": progress.trace}
        async with self._opened().stream(
            "POST", url, content=content, headers=dict(headers), extensions=extensions
        ) as response:
            body = bytearray()
            # Of the body as it was sent: no encoding is asked for, so no small answer unfolds into a large one.
            async for part in response.aiter_raw():
                body += part
                if len(body) > self._limits.reply_bytes:
                    break
            most = self._limits.reply_bytes
            known = {name.lower(): value for name, value in response.headers.items()}
            return HttpReply(response.status_code, known, bytes(body[:most]), is_cut=len(body) > most)

    def _opened(self) -> httpx2.AsyncClient:
        import httpx2  # As above.

        if self._client is None:
            # Neither proxies nor passwords of the environment: what is sent where is the record's business alone.
            self._client = httpx2.AsyncClient(
                timeout=httpx2.Timeout(self._limits.total_s, connect=self._limits.connect_s),
                headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "Postroom"},
                follow_redirects=False,
                trust_env=False,
            )
        return self._client


class _Progress:
    """Watches one request: whom it reached, and whether all of it was written."""

    def __init__(self, policy: PeerPolicy | None, url: str):
        self._policy = policy
        self._url = url
        self.was_written = False

    async def trace(self, event: str, values: Mapping[str, Any]) -> None:
        if event == "connection.connect_tcp.started" and self._policy is not None:
            # Whether a port inside is open must not show in the words. A name may answer otherwise a moment later, so
            # what was reached is judged as well.
            await self._policy.addresses_of(values["host"], values["port"])
        elif event == "connection.connect_tcp.complete" and self._policy is not None:
            stream = values["return_value"]
            if not self._policy.allows(str(stream.get_extra_info("server_addr")[0])):
                await stream.aclose()
                raise PeerRefused(urlsplit(self._url).hostname or self._url)
        elif event == "http11.send_request_body.complete":
            self.was_written = True
