"""A forgotten password: asking for a link, and the page that the link leads to."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from starlette.background import BackgroundTask

from core.errors import PostroomError, UserError
from core.runtime import get_model
from core.web.errors import TooManyTries, status_of
from core.web.password_reset import ASKED, count_redemption, count_request, mail_link
from core.web.session import visit_of, write_session
from core.web.view import render

router = APIRouter()


@router.get("/login/forgot")
async def forgot_page(request: Request) -> Response:
    """Show the form that asks whose password it is."""
    response = render(request, "forgot.html", error="", told="")
    write_session(response, visit_of(request).session)
    return response


@router.post("/login/forgot")
async def forgot(request: Request, login: Annotated[str, Form(max_length=320)] = "") -> Response:
    """Say the same whether or not there is such a login, and mail the link afterwards."""
    try:
        await count_request(request, login)
    except TooManyTries as error:
        return render(request, "forgot.html", status=429, error=str(error), told="")
    response = render(request, "forgot.html", status=202, error="", told=ASKED)
    response.background = BackgroundTask(mail_link, login)
    return response


@router.get("/login/reset/{token}")
async def reset_page(request: Request, token: str) -> Response:
    """Show the form for another password; looking at it uses nothing up, since programs look at mailed links too."""
    try:
        await get_model("PasswordReset").of(token)
    except UserError as error:
        return _page(request, error=error, is_over=True)
    return _page(request)


@router.post("/login/reset/{token}")
async def reset(
    request: Request,
    token: str,
    password: Annotated[str, Form(max_length=1024)] = "",
    again: Annotated[str, Form(max_length=1024)] = "",
) -> Response:
    """Set the new password. The link's token is the proof that this page's own form brings."""
    try:
        await count_redemption(request)
        if password != again:
            raise UserError("The two passwords are not the same; write them once more.")
        await get_model("PasswordReset").redeem(token, password)
    except (UserError, TooManyTries) as error:
        return _page(request, error=error, is_over=getattr(error, "code", "") == "reset_over")
    return _page(request, is_done=True)


def _page(
    request: Request, *, error: PostroomError | None = None, is_over: bool = False, is_done: bool = False
) -> Response:
    status = 200 if error is None else status_of(error)
    words = "" if error is None else str(error)
    return render(request, "reset.html", status=status, error=words, is_over=is_over, is_done=is_done)
