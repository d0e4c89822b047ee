"""Logging in with a password, on the page and by the API: limits that all processes share, one answer to failures.

Five tries a minute for each account and address, thirty for each account: addresses are cheap, and behind a careless
proxy they are whatever the client says.
"""

from __future__ import annotations

from typing import Any

from fastapi import Request

from core.audit import audit
from core.errors import AccessDenied
from core.runtime import acting_as, get_model
from core.web.errors import LoginNeeded, TooManyTries
from core.web.session import Session, client_address, end_session, open_session, visit_of

_WINDOW_S = 60
_MOST_HERE = 5
_MOST_ANYWHERE = 30


class WrongLogin(LoginNeeded):
    """A login and password that do not go together; which of them is wrong is not said."""

    code = "wrong_login"

    def __init__(self) -> None:
        super().__init__("This login and password do not go together, or the account is switched off.")


class WrongPassword(AccessDenied):
    """Somebody who is logged in does not know the password."""

    code = "wrong_password"


async def log_in(request: Request, login: str, password: str) -> tuple[Any, Session]:
    """Return the user and a new session, in place of the browser's present one. Raises WrongLogin, TooManyTries."""
    user = await check_password(request, login, password)
    await end_session(visit_of(request).session)
    with acting_as(user):
        await audit("login")
    return user, await open_session(user, request)


async def renew_password(request: Request, user: Any, old: str, new: str) -> Session:
    """Give a user who knows the old one a new password; return the one session that goes on.

    Raises WrongPassword, TooManyTries, and UserError for a new one that is too short.
    """
    try:
        known = await check_password(request, user.login, old)
    except WrongLogin as error:
        raise WrongPassword("This is not your present password.") from error
    await known.change_password(new)
    return await open_session(known, request)


async def check_password(request: Request, login: str, password: str) -> Any:
    """Return the active user with this login and password, and count the try. Raises WrongLogin, TooManyTries."""
    tries = get_model("LoginTry")
    account = login.strip().casefold()
    here = f"{client_address(request)} {account}"
    for subject, limit in ((here, _MOST_HERE), (account, _MOST_ANYWHERE)):
        wait_s = await tries.count_one(subject, limit, _WINDOW_S)
        if wait_s:
            raise TooManyTries(wait_s)
    user = await get_model("User").authenticate(account, password)
    if user is None:
        # What was typed is not written down where it is no account: it may be a password.
        await audit("login_failed", None if "\0" in account else await get_model("User").get_or_none(login=account))
        raise WrongLogin
    await tries.forget(here)
    return user
