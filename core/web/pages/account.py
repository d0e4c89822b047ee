"""Your own account: name, password, the tokens of your programs, and where you are logged in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from core import clock
from core.access.scope import Scope
from core.errors import PostroomError
from core.runtime import get_model
from core.web.logins import renew_password
from core.web.own import own
from core.web.parameters import RecordId
from core.web.session import visit_of, write_session
from core.web.view import render

router = APIRouter(prefix="/account")

_SCOPES: Mapping[Scope, str] = MappingProxyType({
    Scope.READ: "look at records",
    Scope.WRITE: "change records",
    Scope.MAIL: "send and fetch mail",
    Scope.ADMIN: "change servers, jobs, users and the queue",
})  # fmt: skip
_Password = Annotated[str, Form(max_length=1024)]


@router.get("")
async def account(request: Request) -> Response:
    """Show it."""
    return await _page(request)


@router.post("/name")
async def rename(request: Request, name: Annotated[str, Form(max_length=200)]) -> Response:
    """Change what others call you."""
    user = visit_of(request).user
    if not name.strip() or not name.isprintable():
        return await _page(request, error="Give a name, in one line.")
    user.name = name.strip()
    await user.save(update_fields=["name"])
    return RedirectResponse("/account", 303)


@router.post("/password")
async def change_password(request: Request, old: _Password = "", new: _Password = "") -> Response:
    """Take a new password, which ends your other sessions."""
    try:
        session = await renew_password(request, visit_of(request).user, old, new)
    except PostroomError as error:
        return await _page(request, error=str(error))
    response = RedirectResponse("/account", 303)
    write_session(response, session)
    return response


@router.post("/tokens")
async def make_token(
    request: Request,
    name: Annotated[str, Form(max_length=100)] = "",
    scope: Annotated[list[str] | None, Form(max_length=len(Scope))] = None,
    days: Annotated[int, Form(ge=0, le=3650)] = 90,
) -> Response:
    """Make a token, and show its text this once; `days` 0 is for ever."""
    expires_at = clock.now() + timedelta(days=days) if days else None
    try:
        issued = await get_model("ApiToken").issue(visit_of(request).user, name, scope or (), expires_at=expires_at)
    except PostroomError as error:
        return await _page(request, error=str(error))
    return await _page(request, issued=issued)


@router.post("/tokens/{token_id}/revoke")
async def revoke_token(request: Request, token_id: RecordId) -> Response:
    """End a token."""
    await (await own("ApiToken", visit_of(request).user, token_id)).revoke()
    return RedirectResponse("/account", 303)


@router.post("/sessions/end")
async def end_others(request: Request) -> Response:
    """Log out everywhere but here."""
    visit = visit_of(request)
    await get_model("UserSession").end_all(visit.user.pk, but=visit.session.key)
    return RedirectResponse("/account", 303)


@router.post("/sessions/{session_id}/end")
async def end_one(request: Request, session_id: RecordId) -> Response:
    """Log out at one browser."""
    await (await own("UserSession", visit_of(request).user, session_id)).delete()
    return RedirectResponse("/account", 303)


async def _page(request: Request, *, error: str = "", issued: tuple[Any, str] | None = None) -> Response:
    visit = visit_of(request)
    tokens = await get_model("ApiToken").filter(user_id=visit.user.pk).order_by("-id").select_related("user")
    return render(
        request,
        "account.html",
        status=422 if error else 200,
        error=error,
        issued=issued,
        tokens=tokens,
        scopes=[(scope, words) for scope, words in _SCOPES.items() if scope is not Scope.ADMIN or visit.user.is_admin],
        sessions=[(key == visit.session.key, row) for key, row in await get_model("UserSession").of(visit.user.pk)],
    )
