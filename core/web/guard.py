"""What stands before every path: who asks, whether a change comes from our own pages, and as whom the code then acts.

It hangs on the application itself, so a path that an addon brings is guarded without saying so.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import Depends, Request

from core.access import Access
from core.access.scope import Scope
from core.errors import AccessDenied
from core.runtime import acting_as, called_by, caller
from core.web.errors import LoginNeeded, is_api
from core.web.origin import require_own_form, require_own_origin
from core.web.rate import count_stranger
from core.web.session import Visit, new_session, visit_of
from core.web.who import who_asks

PUBLIC = frozenset({"/login", "/api/health", "/api/auth/login", "/login/forgot", "/api/auth/forgot"})
"""The paths that answer without a login."""
OPEN = frozenset({
    *("/api/email/webhook/bounce", "/api/email/webhook/receive", "/api/email/webhook/receive/mime"),
    *("/webhooks/email_receive", "/unsubscribe/{token}", "/health", "/ready", "/metrics"),
    *("/login/reset/{token}", "/api/auth/reset"),
})  # fmt: skip
"""The paths whose requests bring a proof of their own, an addon's public routes beside: no login counts there."""
_NOBODY = "Log in first; a program sends its token, as `Authorization: Bearer TOKEN`."
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
    visit = Visit(new_session()) if is_open else await who_asks(request)
    request.state.visit = visit
    if not is_open:
        await _check(request, visit)
    with acting_as(visit.user), called_by(replace(caller(), token=visit.token.prefix if visit.token else "")):
        yield


async def _check(request: Request, visit: Visit) -> None:
    if visit.user is None and request.url.path not in PUBLIC:
        if is_api(request):
            count_stranger(request)
        raise LoginNeeded(_NOBODY)
    if visit.token is not None:
        _check_scopes(request, visit.token.scopes)
        return
    is_change = request.method not in _READING
    if visit.user is not None or is_change:
        require_own_origin(request)
    if is_change:
        await require_own_form(request, visit.session)


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


def access_to(request: Request) -> Access:
    """Return what the logged-in user may do."""
    access = visit_of(request).access
    if access is None:  # A public path that asks for more than it may.
        raise LoginNeeded(_NOBODY)
    return access


def access_inside(request: Request) -> Access:
    """Return what the logged-in user may do; AccessDenied for one of the portal, and whoever else is outside."""
    access = access_to(request)
    if not access.is_internal:
        raise AccessDenied("This is for those inside; your own records are open to you.")
    return access


Allowed = Annotated[Access, Depends(access_to)]
"""A parameter of a path function: what the user may do."""
Inside = Annotated[Access, Depends(access_inside)]
"""The same, of a path that nobody outside may ask."""
