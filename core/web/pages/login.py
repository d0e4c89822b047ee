"""Logging in and out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from core.audit import audit
from core.web.errors import TooManyTries
from core.web.logins import WrongLogin, log_in
from core.web.session import end_session, forget_session, visit_of, write_session
from core.web.view import render

router = APIRouter()


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
async def begin(
    request: Request,
    login: Annotated[str, Form(max_length=320)] = "",
    password: Annotated[str, Form(max_length=1024)] = "",
    next: Annotated[str, Form()] = "/",
) -> Response:
    """Start a session; every refusal reads alike."""
    try:
        _, session = await log_in(request, login, password)
    except (WrongLogin, TooManyTries) as error:
        status = 403 if isinstance(error, WrongLogin) else 429
        return render(request, "login.html", status=status, next=_local(next), login=login, error=str(error))
    response = RedirectResponse(_local(next), 303)
    write_session(response, session)
    return response


@router.post("/logout")
async def end(request: Request) -> Response:
    """End the session, for every copy of its cookie."""
    await end_session(visit_of(request).session)
    await audit("logout")
    response = RedirectResponse("/login", 303)
    forget_session(response)
    return response


def _local(path: str) -> str:
    """Return a path of ours, whatever was asked for: nobody is sent elsewhere from here."""
    is_local = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if is_local else "/"
