"""The outermost layer of the web room: headers on every answer, a limit on every body, and an answer to every fault."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import structlog
from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.errors import PostroomError
from core.runtime import settings
from core.web.errors import answer
from core.web.rate import headers_of
from core.web.request_log import route_of
from core.web.who import who_asks

log = structlog.get_logger(__name__)

PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; connect-src 'self'; "
    "frame-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
MAIL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; base-uri 'none'; "
    "form-action 'none'; sandbox allow-popups allow-popups-to-escape-sandbox"
)
"""For a page that holds a stranger's mail and nothing else."""
FILE_POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox"
"""For a file that somebody sent; it is only ever saved."""

_HEADERS: Mapping[str, str] = MappingProxyType({
    "Content-Security-Policy": PAGE_POLICY,
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: with that, browsers send `Origin: null` with our own forms (Fetch, "append a request Origin").
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
})  # fmt: skip
_TAKING_MAIL = frozenset({"/api/email/webhook/receive", "/api/email/webhook/receive/mime"})
"""Here whole mails come, also as base64."""
_TAKING_RAW_MAIL = "/webhooks/email_receive"
_ANONYMOUS_BODY_BYTES = 64 * 1024
_AROUND_A_FILE_BYTES = 64 * 1024
"""What a form has around its file."""
_EVENTS_BODY_BYTES = 2_000_000
"""What mail providers send at once, before they have shown who they are."""


class Edge:
    """Wraps the application as pure ASGI."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                if scope["path"].startswith("/static/"):
                    headers.setdefault("Cache-Control", "no-cache")
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.update(headers_of(scope.get("state", {}).get("standings", ())))
            await send(message)

        try:
            await self.app(scope, _limited(scope, receive), send_with_headers)
        except Exception as error:  # One request is an edge: its fault is logged here and stays its own.
            log.exception("request failed", route=route_of(scope), method=scope["method"], error=type(error).__name__)
            if started:
                raise
            words = "Something here went wrong; it is in the log. Nothing was half done; try again."
            await answer(Request(scope), 500, "internal", words)(scope, receive, send_with_headers)


def _limited(scope: Scope, receive: Receive) -> Receive:
    """Refuse a body beyond what a form or an upload of ours may have; strangers get a small allowance.

    Who asks is found out only where it matters, since most requests are small.
    """
    limit, got = _allowance(scope["path"]), 0

    async def counted() -> Message:
        nonlocal limit, got
        message = await receive()
        got += len(message.get("body", b""))
        if got > limit == _ANONYMOUS_BODY_BYTES and await _is_known(Request(scope)):
            limit = _allowance_of_users(scope["path"])
        if got > limit:
            raise HTTPException(413, f"The request is larger than {limit} bytes.")
        return message

    return counted


def _allowance(path: str) -> int:
    if path in _TAKING_MAIL:
        return settings().MAX_MAIL_BYTES + settings().MAX_MAIL_BYTES // 2
    if path == _TAKING_RAW_MAIL:
        return settings().MAX_MAIL_BYTES
    return _EVENTS_BODY_BYTES if path.startswith("/api/") and "/webhook/" in path else _ANONYMOUS_BODY_BYTES


def _allowance_of_users(path: str) -> int:
    is_file = path.startswith("/api/files")
    return settings().MAX_FILE_BYTES + _AROUND_A_FILE_BYTES if is_file else settings().MAX_BODY_BYTES


async def _is_known(request: Request) -> bool:
    try:
        return (await who_asks(request)).user is not None
    except PostroomError:  # A token that is no good: the guard says so of smaller requests.
        return False
