"""The session: a signed cookie that names a `UserSession` row, and the token that forms carry.

It ends with its age, at logout, when its row is ended from anywhere, and when the user's password changes or the user
is switched off. Before login there is no row, only the cookie with what the login form needs.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any

from fastapi import Request, Response
from itsdangerous import BadSignature, Signer, URLSafeTimedSerializer

from core.access import Access
from core.runtime import get_model, settings

COOKIE = "postroom_session"


@dataclass(frozen=True, slots=True)
class Session:
    """What the cookie holds. `key` names the row and is empty before login; `proof` ties it to the password, `nonce`

    to its forms.
    """

    key: str
    proof: str
    nonce: str

    @property
    def form_token(self) -> str:
        """What a form of this session must bring back."""
        return _form_signer().get_signature(self.nonce).decode()

    def owns(self, token: str) -> bool:
        """Tell whether a form token is this session's."""
        return _form_signer().verify_signature(self.nonce, token)


@dataclass(frozen=True, slots=True)
class Visit:
    """Who asks, within which session. User and access are None for nobody; `token` is the ApiToken of a program."""

    session: Session
    user: Any = None
    access: Access | None = None
    token: Any = None


def visit_of(request: Request) -> Visit:
    """Return who asks; nobody, where the request was refused before that was known."""
    visit: Visit | None = getattr(request.state, "visit", None)
    return visit or Visit(new_session())


def new_session() -> Session:
    """Return a fresh session of nobody yet."""
    return Session("", "", secrets.token_urlsafe(16))


async def open_session(user: Any, request: Request | None = None) -> Session:
    """Begin a session of a user; never one that was there before, which somebody else may know (fixation)."""
    agent = request.headers.get("user-agent", "") if request is not None else ""
    row = await get_model("UserSession").open(user, client_address(request), agent)
    return Session(row.key, _proof(user), secrets.token_urlsafe(16))


async def end_session(session: Session) -> None:
    """End a session for every copy of its cookie."""
    if session.key:
        await get_model("UserSession").filter(key=session.key).delete()


def client_address(request: Request | None) -> str:
    """Return where a request comes from; empty where that is not known."""
    return request.client.host if request is not None and request.client else ""


def read_session(request: Request) -> Session | None:
    """Return the session of a request, or None where its cookie is missing, forged or too old."""
    try:
        key, proof, nonce = map(str, _serializer().loads(request.cookies.get(cookie_name(), ""), max_age=_max_age_s()))
    except (BadSignature, TypeError, ValueError):
        return None
    return Session(key, proof, nonce)


def write_session(response: Response, session: Session) -> None:
    """Give the browser its session."""
    response.set_cookie(
        cookie_name(),
        _serializer().dumps([session.key, session.proof, session.nonce]),
        max_age=_max_age_s(),
        httponly=True,
        samesite="lax",
        secure=_is_https(),
    )


def forget_session(response: Response) -> None:
    """Have the browser throw its session away."""
    response.delete_cookie(cookie_name(), httponly=True, samesite="lax", secure=_is_https())


def cookie_name() -> str:
    """Return the cookie's name; the prefix keeps other hosts of the domain from setting it (RFC 6265bis, 4.1.3.2)."""
    return f"__Host-{COOKIE}" if _is_https() else COOKIE


async def user_of(session: Session | None) -> Any:
    """Return the User who is logged in, or None."""
    if session is None or not session.key:
        return None
    row = await get_model("UserSession").current(session.key)
    if row is None or not secrets.compare_digest(_proof(row.user), session.proof):
        return None
    await row.note_seen()
    return row.user


def _proof(user: Any) -> str:
    return hashlib.sha256(f"{user.pk}:{user.password_hash}".encode()).hexdigest()[:20]


def _max_age_s() -> int:
    return int(settings().SESSION_DAYS * 86_400)


def _is_https() -> bool:
    return settings().BASE_URL.startswith("https://")


def _keys() -> list[str]:
    """The configuration's first key signs; itsdangerous signs with the last one of its list."""
    return list(reversed(settings().secret_keys))


def _serializer() -> URLSafeTimedSerializer:
    options = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
    return URLSafeTimedSerializer(_keys(), salt="postroom session", signer_kwargs=options)


def _form_signer() -> Signer:
    return Signer(_keys(), salt="postroom form", key_derivation="hmac", digest_method=hashlib.sha256)
