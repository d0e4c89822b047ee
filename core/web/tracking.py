"""The addresses that tracked mails ask for: two pixels and the way to a link's target.

Plain ASGI before everything else: no login, no cookie, no form. A pixel's answer is the same bytes for every token,
known or not, and never waits for the database; a link with a token of ours redirects without it too. What cannot be
shown to have been sent is 404, always the same page, and never a redirect.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

from starlette.types import ASGIApp, Receive, Scope, Send

from core.mail.branding import branded
from core.mail.tracking import CLICK_PATH, OPEN_PATH, PIXEL_PATH, Tracker, links_of, location
from core.orm.outage import database_errors
from core.pattern import pattern
from core.runtime import get_model
from core.web.tracking_hits import Hit, Hits
from core.web.tracking_verdict import Reason

_PATHS = (OPEN_PATH, CLICK_PATH, PIXEL_PATH)
_IDENTIFIER = pattern(r"[A-Za-z0-9_-]{1,64}")
_AGENT_CHARS = 255
_QUERY_BYTES = 16_000
_LOOK_UP_S = 2.0
_MOST_MESSAGES = 10

_GIF = b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==")
_PNG = b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAAC0lEQVR42mNgAAIAAAUAAen63NgAAAAASUVORK5CYII=")
_NOT_FOUND = b"""<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>Link not found</title>
<h1>This link leads nowhere</h1>
<p>It was changed on its way, or is not complete. Open the mail again and follow the link there.</p></html>
"""
_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-robots-tag", b"noindex, nofollow"),
)
_PREFETCH = frozenset({b"purpose", b"x-purpose", b"sec-purpose", b"x-moz"})
_TOLD = frozenset({b"user-agent", b"referer"}) | _PREFETCH

Headers = Sequence[tuple[bytes, bytes]]


def _headers(content_type: bytes, body: bytes) -> Headers:
    length = str(len(body)).encode("ascii")
    # Mail programs on the web show the picture within a page of their own.
    return [(b"content-type", content_type), (b"content-length", length),
            (b"cross-origin-resource-policy", b"cross-origin"), *_HEADERS]  # fmt: skip


_GIF_HEADERS = _headers(b"image/gif", _GIF)
_PNG_HEADERS = _headers(b"image/png", _PNG)
_NOT_FOUND_HEADERS = [
    *_headers(b"text/html; charset=utf-8", _NOT_FOUND),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
]


class Tracking:
    """Answers for tracked mails, and passes everything else on to `app`."""

    def __init__(self, app: ASGIApp, tracker: Tracker, hits: Hits | None, base_url: str):
        """Without `hits` nothing is counted; links still lead where they led."""
        self.app = app
        self._tracker = tracker
        self._hits = hits
        self._own_pages = f"{base_url.rstrip('/')}/".encode() if base_url else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(_PATHS):
            await self.app(scope, receive, send)
            return
        path: str = scope["path"]
        if scope["method"] not in ("GET", "HEAD"):
            await _answer(scope, send, 405, [(b"allow", b"GET, HEAD"), (b"content-length", b"0"), *_HEADERS], b"")
        elif path.startswith(CLICK_PATH):
            await self._click(scope, send, path[len(CLICK_PATH) :])
        elif path.startswith(OPEN_PATH):
            self._open(scope, path[len(OPEN_PATH) :].removesuffix(".gif"))
            await _answer(scope, send, 200, _GIF_HEADERS, _GIF)
        else:
            self._open(scope, path[len(PIXEL_PATH) :].removesuffix(".png"))
            await _answer(scope, send, 200, _PNG_HEADERS, _PNG)

    def _open(self, scope: Scope, token: str) -> None:
        self._count(scope, self._tracker.opened(token), token, "")

    async def _click(self, scope: Scope, send: Send, token: str) -> None:
        url = _url_in(scope["query_string"])
        delivery_id = self._tracker.clicked(token, url)
        target = location(url)
        if target is None or (delivery_id is None and not await _was_sent(token, url)):
            await _answer(scope, send, 404, _NOT_FOUND_HEADERS, _NOT_FOUND)
            return
        self._count(scope, delivery_id, token, url)
        await _answer(scope, send, 302, [(b"location", target.encode()), (b"content-length", b"0"), *_HEADERS], b"")

    def _count(self, scope: Scope, delivery_id: int | None, token: str, url: str) -> None:
        if self._hits is None or (delivery_id is None and not _IDENTIFIER.fullmatch(token)):
            return
        told = {name: value for name, value in scope["headers"] if name in _TOLD}
        client = scope.get("client")
        self._hits.add(
            Hit(
                delivery_id,
                "" if delivery_id is not None else token,
                url,
                client[0] if client else "",
                told.get(b"user-agent", b"")[:_AGENT_CHARS].decode("latin-1"),
                self._hint(scope["method"], told),
            )
        )

    def _hint(self, method: str, told: dict[bytes, bytes]) -> Reason | None:
        if method == "HEAD":
            return Reason.HEAD
        if self._own_pages and told.get(b"referer", b"").startswith(self._own_pages):
            return Reason.OWN
        return Reason.PREFETCH if _PREFETCH.intersection(told) else None


async def _answer(scope: Scope, send: Send, status: int, headers: Headers, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def _url_in(query: bytes) -> str:
    """Return the first `url` of a query, or an empty text where there is none that could be ours."""
    for part in query.split(b"&") if len(query) <= _QUERY_BYTES else ():
        name, _, value = part.partition(b"=")
        if name == b"url":
            return unquote_to_bytes(value).decode("utf-8", "replace")
    return ""


async def _was_sent(identifier: str, url: str) -> bool:
    """Tell whether a message of this identifier has a link to `url`; no, while the database is away."""
    if not _IDENTIFIER.fullmatch(identifier):
        return False
    named = get_model("Message").filter(tracking_identifier=identifier, direction="Outbound").order_by("-id")
    try:
        async with asyncio.timeout(_LOOK_UP_S):
            messages = await named.limit(_MOST_MESSAGES)
    except database_errors(TimeoutError):
        return False
    return any(url in links_of(branded(one.body, one.presentation)) for one in messages)
