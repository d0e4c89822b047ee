"""What stands before every path: who asks, whether a change comes from our own pages, and as whom the code then acts.

It hangs on the application itself, so a path that an addon brings is guarded without saying so.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, Request

from core.access import Access, access_of
from core.errors import AccessDenied
from core.runtime import acting_as, settings
from core.web.bearer import token_of
from core.web.errors import LoginNeeded, RequestRefused
from core.web.scope import Scope
from core.web.session import Session, Visit, new_session, read_session, user_of, visit_of

PUBLIC = frozenset({"/login", "/api/health"})
"""The paths that answer without a login."""
OPEN = frozenset({
    *("/api/email/webhook/bounce", "/api/email/webhook/receive", "/api/email/webhook/receive/mime"),
    *("/webhooks/email_receive", "/unsubscribe/{token}"),
})  # fmt: skip
"""The paths whose requests bring a proof of their own, an addon's public routes beside: no login counts there."""
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class MissingScope(AccessDenied):
    """The token is not good for this."""

    code = "missing_scope"

    def __init__(self, missing: list[Scope]):
        self.challenge = f'Bearer error="insufficient_scope", scope="{" ".join(missing)}"'
        super().__init__(f"This token lacks the scope {', '.join(missing)}.")


@dataclass(frozen=True, slots=True)
class _Needs:
    """Says of a route which scope a token needs there; the guard reads it."""

    scope: Scope

    async def __call__(self) -> None:
        """Do nothing: whoever comes here has passed the guard."""


def scope(name: str) -> _Needs:
    """Return the dependency of a route that needs this scope, in place of `read` or `write` by its method."""
    return _Needs(Scope(name))


async def guard(request: Request) -> AsyncIterator[None]:
    """Refuse who may not be here; run the rest of the request on behalf of its user."""
    is_open = _is_open(request)
    visit = await _visit(request, is_open)
    request.state.visit = visit
    if visit.user is None and request.url.path not in PUBLIC and not is_open:
        raise LoginNeeded("Log in first.")
    if visit.token is not None:
        _check_scopes(request, visit.token.scopes)
    elif request.method not in _READING and not is_open:
        await _check_origin(request)
    with acting_as(visit.user):
        yield


async def _visit(request: Request, is_open: bool) -> Visit:
    """Find out who asks: by its token, where there is one, or else by its session."""
    session = read_session(request) or new_session()
    if is_open:
        return Visit(session)
    token = await token_of(request)
    user = await user_of(session) if token is None else token.user
    if user is None:
        return Visit(session)
    access = await access_of(user)
    return Visit(session, user, access, token)


def _check_scopes(request: Request, held: list[str]) -> None:
    missing = sorted(needed_scopes(request.scope.get("route"), request.method) - set(held))
    if missing:
        raise MissingScope(missing)


def needed_scopes(route: Any, method: str) -> set[Scope]:
    """Return which scopes a token needs for a route: what it says, or `read` or `write` by the method."""
    said = {one.dependency.scope for one in getattr(route, "dependencies", ()) if isinstance(one.dependency, _Needs)}
    return said or {Scope.READ if method in _READING else Scope.WRITE}


def _is_open(request: Request) -> bool:
    """Whether this is a route that checks by itself who calls it."""
    route = request.scope.get("route")
    return getattr(route, "path", "") in OPEN | request.app.state.open_paths


async def _check_origin(request: Request) -> None:
    """Let a change pass only from a page of ours (form token), or as JSON, which no foreign page can send unasked."""
    require_own_origin(request)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json":
        return
    token = request.headers.get("x-csrf-token") or str((await request.form()).get("csrf", ""))
    session: Session = request.state.visit.session
    if not token or not session.owns(token):
        raise RequestRefused("This form is too old or not ours; load its page again and send it once more.")


def require_own_origin(request: Request) -> None:
    """Raise RequestRefused for what a page of another site asked for, as far as the browser tells."""
    origin = request.headers.get("origin")
    is_foreign = request.headers.get("sec-fetch-site", "") in ("cross-site", "same-site")
    if is_foreign or (origin is not None and origin not in _own_origins(request)):
        raise RequestRefused("This request came from another site; open the page here and try again.")


def _own_origins(request: Request) -> set[str]:
    """The address that the browser itself called, which a foreign page cannot choose, and the configured one."""
    host = request.headers.get("host", "")
    base = urlsplit(settings().BASE_URL)
    return {f"{request.url.scheme}://{host}", f"{base.scheme}://{base.netloc}"}


def access_to(request: Request) -> Access:
    """Return what the logged-in user may do."""
    access = visit_of(request).access
    if access is None:  # A public path that asks for more than it may.
        raise LoginNeeded("Log in first.")
    return access


Allowed = Annotated[Access, Depends(access_to)]
"""A parameter of a path function: what the user may do."""
