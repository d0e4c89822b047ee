"""What goes wrong with a request, and how it is told: a page to a person, a problem body (RFC 9457) to a program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from math import ceil
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException

from core.errors import (
    AccessDenied,
    PostroomError,
    TemporaryFailure,
    TransportError,
    UnknownName,
    UserError,
)
from core.runtime import caller
from core.web.problem import MEDIA_TYPE, Fault, problem
from core.web.record_faults import Conflict, StaleRecord
from core.web.view import render

_FOR_PROGRAMS = frozenset({"/webhooks/email_receive", "/api", "/openapi.json", "/metrics"})
_MOST_FAULTS = 50
_MOST_WORDS = 5
_STEP_CHARS = 100


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


class TooManyRequests(PostroomError):
    """More requests than the caller may make; `wait_s` is how long to leave it."""

    code = "too_many_requests"

    def __init__(self, wait_s: float):
        self.wait_s = wait_s
        super().__init__(f"Too many requests; wait {ceil(wait_s)} seconds, and then make fewer.")


class BadKey(PostroomError):
    """An idempotency key that is none."""

    code = "bad_idempotency_key"


class RequestRunning(PostroomError):
    """The first request with this key has no answer yet."""

    code = "request_running"
    wait_s = 1.0


class AnswerNotKept(PostroomError):
    """The request was met before, and its answer was not kept."""

    code = "answer_not_kept"


_STATUS: tuple[tuple[type[PostroomError], int], ...] = (
    (LoginNeeded, 401),
    (AccessDenied, 403),
    (UnknownName, 404),
    (TooManyTries, 429),
    (TooManyRequests, 429),
    (RequestRunning, 409),
    (AnswerNotKept, 409),
    (Conflict, 409),
    (StaleRecord, 412),
    (UserError, 422),
    (TransportError, 502),
    (TemporaryFailure, 503),
    (PostroomError, 400),
)


_HTTP: Mapping[int, tuple[str, str]] = MappingProxyType({
    400: ("bad_request", "The request cannot be read."),
    404: ("not_found", "There is nothing at this address. Check how it is written, or start from the first page."),
    405: ("method_not_allowed", "This address does not take that kind of request."),
    413: ("too_large", "The request is larger than allowed here."),
    415: ("unsupported_media_type", "The body has a type that is not understood here."),
})  # fmt: skip
"""Code and words of what the framework refuses."""
_LATER_S = 30
"""When to try again what failed for a while and said no time."""


def status_of(error: PostroomError) -> int:
    """Return the HTTP status that an error of ours becomes."""
    return next(status for kind, status in _STATUS if isinstance(error, kind))


def is_api(request: Request) -> bool:
    """Tell whether a program asks."""
    return request.url.path.startswith("/api/") or request.url.path in _FOR_PROGRAMS


async def on_postroom_error(request: Request, error: Exception) -> Response:
    """Answer an error that was raised on purpose."""
    assert isinstance(error, PostroomError)
    if isinstance(error, LoginNeeded) and not is_api(request) and request.method == "GET":
        return RedirectResponse("/login?" + urlencode({"next": _path(request)}), 303)
    status = status_of(error)
    response = answer(request, status, error.code, str(error), faults=getattr(error, "faults", None) or None)
    response.headers.update(_headers(request, status, error))
    return response


def _headers(request: Request, status: int, error: PostroomError) -> dict[str, str]:
    """Return what an error tells beside its body: how to log in, what a record's tag is now, how long to wait."""
    headers = {}
    wait_s = getattr(error, "wait_s", _LATER_S if status == 503 else None)
    if wait_s is not None:
        headers["Retry-After"] = str(max(1, ceil(wait_s)))
    if (challenge := getattr(error, "challenge", None)) and is_api(request):
        headers["WWW-Authenticate"] = challenge
    if (tag := getattr(error, "tag", None)) is not None:
        headers["ETag"] = tag
    return headers


async def on_http_error(request: Request, error: Exception) -> Response:
    """Answer what the framework refused: an unknown path, a wrong method, a form too large."""
    assert isinstance(error, HTTPException)
    status = error.status_code
    code, words = _HTTP.get(status, ("http", error.detail))
    is_bare = error.detail == HTTPStatus(status).phrase
    response = answer(request, status, code, words if is_bare else str(error.detail))
    response.headers.update(error.headers or {})
    if status == 405:
        response.headers["Allow"] = ", ".join(sorted(allowed_methods(request)))
    return response


async def on_invalid_request(request: Request, error: Exception) -> Response:
    """Answer parameters that do not have their types; what was sent is not repeated."""
    assert isinstance(error, RequestValidationError)
    faults = [_fault(one["loc"], one["msg"]) for one in error.errors()]
    words = "; ".join(f"{one.part}{one.pointer.replace('/', '.')}: {one.detail}" for one in faults[:_MOST_WORDS])
    return answer(request, 422, "invalid", words, faults=faults[:_MOST_FAULTS])


def _fault(place: Sequence[str | int], detail: str) -> Fault:
    """`place` is the framework's: a part of the request, and the way to the value inside it."""
    part, *steps = place
    pointer = "".join("/" + str(step)[:_STEP_CHARS].replace("~", "~0").replace("/", "~1") for step in steps)
    return Fault(part=str(part), pointer=pointer, detail=detail)


def answer(request: Request, status: int, code: str, detail: str, **more: Any) -> Response:
    """Return an error as a problem body, or as a page."""
    if is_api(request):
        body = problem(status, code, detail, request_id=caller().request_id or None, **more)
        return JSONResponse(body, status, media_type=MEDIA_TYPE)
    title = HTTPStatus(status).phrase
    return render(request, "error.html", status=status, title=title, detail=detail, may_go_back=status == 422)


def allowed_methods(request: Request) -> set[str]:
    """Return the methods that the request's address takes, whichever route they belong to."""
    path = request.url.path
    here = (one for one in iter_route_contexts(request.app.routes) if one.methods and one.path_regex.match(path))
    return {method for one in here for method in one.methods or ()}


def _path(request: Request) -> str:
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")
