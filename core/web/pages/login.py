"""Logging in and out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from core.runtime import get_model
from core.web.errors import TooManyTries
from core.web.session import COOKIE, new_session, visit_of, write_session
from core.web.view import render

router = APIRouter()

_REFUSED = "This login and password do not go together, or the account is switched off."


@router.get("/login")
async def login_page(request: Request, next: str = "/") -> Response:
    """Show the form; whoever is logged in goes on."""
    visit = visit_of(request)
    if visit.user is not None:
        return RedirectResponse(_local(next), 303)
    response = render(request, "login.html", next=_local(next), login="", error="")
    write_session(response, visit.session)
    return response


@router.post("/login")
async def log_in(
    request: Request,
    login: Annotated[str, Form(max_length=320)] = "",
    password: Annotated[str, Form(max_length=1024)] = "",
    next: Annotated[str, Form()] = "/",
) -> Response:
    """Start a session; every refusal reads alike."""
    account = login.strip().casefold()
    key = f"{account} {request.client.host if request.client else ''}"
    try:
        request.app.state.tries.count(key)
        request.app.state.tries_anywhere.count(account)
    except TooManyTries as error:
        return _again(request, next, login, str(error), 429)
    user = await get_model("User").authenticate(login, password)
    if user is None:
        return _again(request, next, login, _REFUSED, 403)
    request.app.state.tries.forget(key)
    response = RedirectResponse(_local(next), 303)
    write_session(response, new_session(user))
    return response


@router.post("/logout")
async def log_out() -> Response:
    """End the session in this browser."""
    response = RedirectResponse("/login", 303)
    response.delete_cookie(COOKIE)
    return response


def _again(request: Request, next_path: str, login: str, error: str, status: int) -> Response:
    return render(request, "login.html", status=status, next=_local(next_path), login=login, error=error)


def _local(path: str) -> str:
    """Return a path of ours, whatever was asked for: nobody is sent elsewhere from here."""
    is_local = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if is_local else "/"
