"""The outermost layer of the web room: headers on every answer, a limit on every body, and an answer to every fault."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import structlog
from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.runtime import settings
from core.web.errors import answer
from core.web.session import read_session

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
_TAKING_MAIL = frozenset({"/api/email/webhook/receive", "/api/email/webhook/receive/mime", "/webhooks/email_receive"})
"""Here whole mails come, also as base64."""
_ANONYMOUS_BODY_BYTES = 64 * 1024
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
            await send(message)

        try:
            await self.app(scope, _limited(scope, receive), send_with_headers)
        except Exception as error:  # One request is an edge: its fault is logged here and stays its own.
            log.exception("request failed", path=scope["path"], method=scope["method"], error=str(error))
            if started:
                raise
            words = "Something here went wrong; it is in the log. Nothing was half done; try again."
            await answer(Request(scope), 500, "internal", words)(scope, receive, send_with_headers)


def _limited(scope: Scope, receive: Receive) -> Receive:
    """Refuse a body beyond what a form or an upload of ours may have; strangers get a small allowance."""
    session = read_session(Request(scope))
    is_known = session is not None and session.user_id is not None
    is_webhook = scope["path"].startswith("/api/") and "/webhook/" in scope["path"]
    limit = _EVENTS_BODY_BYTES if is_webhook else settings().MAX_MAIL_BYTES if is_known else _ANONYMOUS_BODY_BYTES
    if scope["path"] in _TAKING_MAIL:
        limit = settings().MAX_MAIL_BYTES + settings().MAX_MAIL_BYTES // 2
    got = 0

    async def counted() -> Message:
        nonlocal got
        message = await receive()
        got += len(message.get("body", b""))
        if got > limit:
            raise HTTPException(413, f"The request is larger than {limit} bytes.")
        return message

    return counted
