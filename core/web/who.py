"""Who asks: found out once a request, by its token or else by its session."""

from __future__ import annotations

from dataclasses import replace

from fastapi import Request

from core.access import access_of
from core.web.bearer import token_of
from core.web.session import Visit, new_session, read_session, user_of


async def who_asks(request: Request) -> Visit:
    """Return who asks. Raises BadToken for a token that is no good, and TooManyTries."""
    found: Visit | None = getattr(request.state, "asked_by", None)
    if found is None:
        found = request.state.asked_by = await _find_out(request)
    return found


async def _find_out(request: Request) -> Visit:
    session = read_session(request) or new_session()
    token = await token_of(request)
    user = await user_of(session) if token is None else token.user
    if user is None:
        return Visit(session)
    access = await access_of(user)
    if token is not None:
        access = replace(access, scopes=frozenset(token.scopes))
    return Visit(session, user, access, token)
