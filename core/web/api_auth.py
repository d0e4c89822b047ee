"""JSON about who asks: logging in and out, one's own password, tokens and sessions.

What gives lasting power (a token, a new password) needs a session: no token can make another one.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from core.access import Right
from core.access.scope import Scope
from core.audit import audit
from core.errors import AccessDenied
from core.runtime import get_model, runtime
from core.web.guard import Allowed
from core.web.idempotency import keyed
from core.web.logins import log_in, renew_password
from core.web.own import own
from core.web.parameters import RecordId
from core.web.route import ApiRoute
from core.web.session import Visit, end_session, forget_session, visit_of, write_session

router = APIRouter(prefix="/api/auth", tags=["who asks"], route_class=ApiRoute)
_IGNORED = (Depends(keyed("ignored")),)
"""A login try counts whatever becomes of it, and no password or cookie is kept in an answer."""
_Password = Annotated[str, Field(max_length=1024)]


def logged_in(request: Request) -> Visit:
    """Return a person's visit; AccessDenied for a token."""
    visit = visit_of(request)
    if visit.token is not None:
        raise AccessDenied("A token may not do this; log in with the password.")
    return visit


Person = Annotated[Visit, Depends(logged_in)]


class Login(BaseModel):
    """What a person logs in with."""

    model_config = ConfigDict(extra="forbid")

    login: Annotated[str, Field(max_length=320)]
    password: _Password


class LoggedIn(BaseModel):
    """A session has begun. Its cookie comes along; send `csrf` as `X-CSRF-Token` with every change that is no JSON."""

    csrf: str


class Company(BaseModel):
    """A company."""

    id: int
    name: str


class Me(BaseModel):
    """Who asks, and what it may do: its rights by model, and a token's scopes (null: all, as a session has)."""

    id: int
    login: str
    name: str
    is_admin: bool
    is_internal: bool
    company: Company | None
    groups: list[str]
    scopes: list[Scope] | None
    rights: dict[str, list[Right]]
    csrf: str | None


class NewToken(BaseModel):
    """A token to make; without `expires_at` it holds until it is revoked."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"name": "reports", "scopes": ["read"], "expires_at": None}]}
    )

    name: Annotated[str, Field(min_length=1, max_length=100)]
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(Scope))]
    expires_at: AwareDatetime | None = None


class Token(BaseModel):
    """One of your tokens; `fault` says why it is no longer good."""

    id: int
    name: str
    prefix: str
    scopes: list[Scope]
    expires_at: datetime | None
    last_used_at: datetime | None
    last_used_from: str
    created_at: datetime
    fault: str


class IssuedToken(Token):
    """A new token with its text, which is told this once."""

    token: str


class Tokens(BaseModel):
    """Your tokens, the newest first."""

    items: list[Token]


class Passwords(BaseModel):
    """The present password, and the one to come."""

    model_config = ConfigDict(extra="forbid")

    old: _Password
    new: _Password


class OneSession(BaseModel):
    """A browser that you are logged in at."""

    id: int
    address: str
    agent: str
    created_at: datetime
    last_seen_at: datetime
    is_current: bool


class Sessions(BaseModel):
    """Where you are logged in, the newest first."""

    items: list[OneSession]


@router.post("/login", summary="Log in", dependencies=_IGNORED)
async def begin(request: Request, response: Response, given: Login) -> LoggedIn:
    """Begin a session; every failure reads alike. Programs had better use a token."""
    _, session = await log_in(request, given.login, given.password)
    write_session(response, session)
    return LoggedIn(csrf=session.form_token)


@router.post("/logout", status_code=204, summary="Log out", dependencies=_IGNORED)
async def end(visit: Person, response: Response) -> None:
    """End the session, for every copy of its cookie."""
    await end_session(visit.session)
    await audit("logout")
    forget_session(response)


@router.get("/me", summary="Who asks, and what it may do")
async def me(request: Request, access: Allowed) -> Me:
    """Return the user and its rights on models; record rules and gates narrow them further."""
    visit = visit_of(request)
    user, token = visit.user, visit.token
    company = await get_model("Company").get_or_none(id=user.company_id) if user.company_id else None
    groups = await get_model("Group").filter(id__in=list(access.group_ids)).order_by("identifier")
    rights = {entry.name: [right for right in Right if access.may(entry.name, right)] for entry in runtime().registry}
    return Me(
        id=user.pk,
        login=user.login,
        name=user.name,
        is_admin=access.is_admin,
        is_internal=access.is_internal,
        company=Company(id=company.pk, name=company.name) if company is not None else None,
        groups=[group.identifier for group in groups],
        scopes=token.scopes if token is not None else None,
        rights={model: held for model, held in rights.items() if held},
        csrf=visit.session.form_token if token is None else None,
    )


@router.get("/tokens", summary="Your tokens")
async def tokens(access: Allowed) -> Tokens:
    """List your tokens, those that are over among them; never their texts."""
    rows = await get_model("ApiToken").filter(user_id=access.user_id).order_by("-id").select_related("user")
    return Tokens(items=[Token(**_told(row)) for row in rows])


@router.post("/tokens", status_code=201, summary="Make a token", dependencies=[Depends(keyed("secret"))])
async def make(visit: Person, wanted: NewToken) -> IssuedToken:
    """Make a token that acts as you within its scopes. Only administrators can give it the scope `admin`."""
    token, text = await get_model("ApiToken").issue(
        visit.user, wanted.name, wanted.scopes, expires_at=wanted.expires_at
    )
    return IssuedToken(**_told(token), token=text)


@router.delete("/tokens/{token_id}", status_code=204, summary="Revoke a token")
async def revoke(visit: Person, token_id: RecordId) -> None:
    """End one of your tokens, from its next request on."""
    await (await own("ApiToken", visit.user, token_id)).revoke()


@router.post("/password", status_code=204, summary="Change your password", dependencies=_IGNORED)
async def change_password(request: Request, visit: Person, response: Response, given: Passwords) -> None:
    """Take a new password, which ends your other sessions; your tokens stay."""
    write_session(response, await renew_password(request, visit.user, given.old, given.new))


@router.get("/sessions", summary="Where you are logged in")
async def sessions(visit: Person) -> Sessions:
    """List your sessions."""
    rows = await get_model("UserSession").of(visit.user.pk)
    return Sessions(items=[OneSession(**row, is_current=key == visit.session.key) for key, row in rows])


@router.delete("/sessions", status_code=204, summary="Log out everywhere else")
async def end_others(visit: Person) -> None:
    """End all of your sessions but this one."""
    await get_model("UserSession").end_all(visit.user.pk, but=visit.session.key)


@router.delete("/sessions/{session_id}", status_code=204, summary="Log out somewhere")
async def end_one(visit: Person, session_id: RecordId) -> None:
    """End one of your sessions."""
    await (await own("UserSession", visit.user, session_id)).delete()


def _told(token: Any) -> dict[str, Any]:
    return {name: getattr(token, name) for name in Token.model_fields}
