"""Asking for a new password by mail, on the page and by the API: limits that all processes share, one answer to all.

Whether there is such a login is found out after the answer went out, so neither its words nor its time tell.
"""

from __future__ import annotations

import structlog
from fastapi import Request

from core.errors import PostroomError
from core.orm.outage import database_errors
from core.runtime import get_model
from core.web.errors import TooManyTries
from core.web.session import client_address

log = structlog.get_logger(__name__)

ASKED = "If this is somebody's login here, a link to set a new password is on its way to it. It holds for an hour."
_WINDOW_S = 3600
_MOST_OF_A_LOGIN = 3
_MOST_OF_AN_ADDRESS = 20
_MOST_LINKS_OF_AN_ADDRESS = 60


async def count_request(request: Request, login: str) -> None:
    """Count a request for a link, whether or not there is such a login; raises TooManyTries."""
    account = login.strip().casefold()
    await _count(f"forgot from {client_address(request)}", _MOST_OF_AN_ADDRESS)
    await _count(f"forgot {account}", _MOST_OF_A_LOGIN)


async def count_redemption(request: Request) -> None:
    """Count a try to use a link; raises TooManyTries."""
    await _count(f"reset from {client_address(request)}", _MOST_LINKS_OF_AN_ADDRESS)


async def mail_link(login: str) -> None:
    """Mail a link where the login is somebody's; what goes wrong is for the log alone."""
    try:
        await get_model("PasswordReset").ask(login)
    except database_errors(PostroomError) as error:
        log.warning("no password reset mailed", error=str(error))


async def _count(subject: str, limit: int) -> None:
    wait_s = await get_model("LoginTry").count_one(subject, limit, _WINDOW_S)
    if wait_s:
        raise TooManyTries(wait_s)
