"""What goes wrong with a request, and how it is told: a page to a person, a problem body (RFC 9457) to a program."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from core.errors import (
    AccessDenied,
    PostroomError,
    TemporaryFailure,
    TransportError,
    UnknownName,
    UserError,
)
from core.web.view import render


class LoginNeeded(AccessDenied):
    """Nobody is logged in. `challenge` is what a program is told about how to (RFC 6750, section 3)."""

    code = "login_needed"
    challenge = "Bearer"


class RequestRefused(AccessDenied):
    """A change that did not come from a page of ours."""

    code = "request_refused"


class TooManyTries(PostroomError):
    """Too many logins; `wait_s` is how long to leave it."""

    code = "too_many_tries"

    def __init__(self, wait_s: float):
        self.wait_s = wait_s
        super().__init__(f"Too many tries; wait {wait_s:.0f} seconds and try again.")


_STATUS: tuple[tuple[type[PostroomError], int], ...] = (
    (LoginNeeded, 401),
    (AccessDenied, 403),
    (UnknownName, 404),
    (TooManyTries, 429),
    (UserError, 422),
    (TransportError, 502),
    (TemporaryFailure, 503),
    (PostroomError, 400),
)


_WORDS: Mapping[int, str] = MappingProxyType({
    404: "There is nothing at this address. Check how it is written, or start from the first page.",
    405: "This address does not take that kind of request.",
})  # fmt: skip


def status_of(error: PostroomError) -> int:
    """Return the HTTP status that an error of ours becomes."""
    return next(status for kind, status in _STATUS if isinstance(error, kind))


def is_api(request: Request) -> bool:
    """Tell whether a program asks."""
    return request.url.path.startswith("/api/") or request.url.path == "/openapi.json"


async def on_postroom_error(request: Request, error: Exception) -> Response:
    """Answer an error that was raised on purpose."""
    assert isinstance(error, PostroomError)
    if isinstance(error, LoginNeeded) and not is_api(request) and request.method == "GET":
        return RedirectResponse("/login?" + urlencode({"next": _path(request)}), 303)
    response = answer(request, status_of(error), error.code, str(error))
    challenge = getattr(error, "challenge", None)
    if challenge and is_api(request):
        response.headers["WWW-Authenticate"] = challenge
    return response


async def on_http_error(request: Request, error: Exception) -> Response:
    """Answer what the framework refused: an unknown path, a wrong method, a form too large."""
    assert isinstance(error, HTTPException)
    words = _WORDS.get(error.status_code) if error.detail == HTTPStatus(error.status_code).phrase else None
    return answer(request, error.status_code, "http", words or str(error.detail))


async def on_invalid_request(request: Request, error: Exception) -> Response:
    """Answer parameters that do not have their types; what was sent is not repeated."""
    assert isinstance(error, RequestValidationError)
    said = [{"where": ".".join(map(str, fault["loc"])), "what": fault["msg"]} for fault in error.errors()]
    words = "; ".join(f"{one['where']}: {one['what']}" for one in said)
    return answer(request, 422, "invalid", words, faults=said)


def answer(request: Request, status: int, code: str, detail: str, **more: Any) -> Response:
    """Return an error as a problem body, or as a page."""
    title = HTTPStatus(status).phrase
    if is_api(request):
        body = {"type": f"urn:postroom:{code}", "title": title, "status": status, "detail": detail, "code": code}
        return JSONResponse({**body, **more}, status, media_type="application/problem+json")
    return render(request, "error.html", status=status, title=title, detail=detail, may_go_back=status == 422)


def _path(request: Request) -> str:
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")
