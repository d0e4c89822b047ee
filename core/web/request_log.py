"""One line in the log for each request, and its id everywhere: in the answer, in each line, in what is written for it.

A line names the route, never the path or the query, since those may hold tokens. Plain ASGI, around all that answers.
"""

from __future__ import annotations

import secrets
from time import monotonic
from typing import Any

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.pattern import pattern
from core.runtime import Caller, called_by
from core.tracing import span
from core.web.metrics import Requests

log = structlog.get_logger("core.web.access")

HEADER = "X-Request-ID"
_SANE = pattern(r"[A-Za-z0-9._-]{1,128}")
_QUIET = frozenset({"/health", "/ready", "/metrics", "/static"})
"""Asked every few seconds by machines: lines about them would hide the others."""


class RequestLog:
    """Wraps the application as pure ASGI."""

    def __init__(self, app: ASGIApp, requests: Requests):
        self.app = app
        self._requests = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        caller = Caller(request_id=request_id(headers), address=(scope.get("client") or ("",))[0])
        status, sent_bytes, begun_at = 0, 0, monotonic()

        async def watched(message: Message) -> None:
            nonlocal status, sent_bytes
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = caller.request_id
            sent_bytes += len(message.get("body", b""))
            await send(message)

        with called_by(caller), structlog.contextvars.bound_contextvars(request_id=caller.request_id):
            try:
                with span(scope["method"], caller=headers) as traced:
                    await self.app(scope, receive, watched)
                    if traced is not None:
                        _describe(traced, scope, status)
            finally:
                took_s, route = monotonic() - begun_at, route_of(scope)
                self._requests.count(scope["method"], route, status, took_s)
                if route not in _QUIET or status >= 400:
                    log.info(
                        "request",
                        method=scope["method"],
                        route=route,
                        status=status,
                        duration_ms=round(took_s * 1000, 1),
                        bytes=sent_bytes,
                        **_asker(scope),
                    )


def _describe(traced: Any, scope: Scope, status: int) -> None:
    """Say of a span what OpenTelemetry's conventions for HTTP servers ask for, but no path and no query."""
    route = route_of(scope)
    traced.update_name(f"{scope['method']} {route}")
    told = {"http.request.method": scope["method"], "http.route": route, "http.response.status_code": status}
    traced.set_attributes(told)


def request_id(headers: Headers) -> str:
    """Return the caller's id of the request where it is one, or a new one."""
    given = headers.get(HEADER, "")
    return given if _SANE.fullmatch(given) else secrets.token_hex(16)


def route_of(scope: Scope) -> str:
    """Return the path as its route declares it; `unmatched` where there is none."""
    if scope["path"].startswith("/static/"):
        return "/static"
    return str(getattr(scope.get("route"), "path", "unmatched"))


def _asker(scope: Scope) -> dict[str, Any]:
    visit = scope.get("state", {}).get("visit")
    if visit is None or visit.user is None:
        return {}
    return {"user": visit.user.pk, **({"token": visit.token.prefix} if visit.token is not None else {})}
