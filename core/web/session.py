"""The session: a signed cookie that says who is logged in, and the token that forms carry.

Nothing is kept on the server. A session ends with its age, at logout in this browser, and everywhere when the user's
password changes or the user is switched off.
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
_MAX_AGE_S = 7 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Session:
    """What the cookie holds. `user_id` is None before login; `proof` ties it to the password, `nonce` to its forms."""

    user_id: int | None
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


def new_session(user: Any = None) -> Session:
    """Return a fresh session, of a user or of nobody yet."""
    return Session(user.pk if user else None, _proof(user) if user else "", secrets.token_urlsafe(16))


def read_session(request: Request) -> Session | None:
    """Return the session of a request, or None where its cookie is missing, forged or too old."""
    try:
        user_id, proof, nonce = _serializer().loads(request.cookies.get(COOKIE, ""), max_age=_MAX_AGE_S)
    except (BadSignature, TypeError, ValueError):
        return None
    return Session(user_id, proof, nonce)


def write_session(response: Response, session: Session) -> None:
    """Give the browser its session."""
    response.set_cookie(
        COOKIE,
        _serializer().dumps([session.user_id, session.proof, session.nonce]),
        max_age=_MAX_AGE_S,
        httponly=True,
        samesite="lax",
        secure=settings().BASE_URL.startswith("https://"),
    )


async def user_of(session: Session | None) -> Any:
    """Return the User who is logged in, or None."""
    if session is None or session.user_id is None:
        return None
    user = await get_model("User").get_or_none(id=session.user_id, active=True)
    return user if user is not None and secrets.compare_digest(_proof(user), session.proof) else None


def _proof(user: Any) -> str:
    return hashlib.sha256(f"{user.pk}:{user.password_hash}".encode()).hexdigest()[:20]


def _keys() -> list[str]:
    """The configuration's first key signs; itsdangerous signs with the last one of its list."""
    keys = settings().SECRET_KEY.get_secret_value().split(",")
    return [key.strip() for key in reversed(keys) if key.strip()]


def _serializer() -> URLSafeTimedSerializer:
    options = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
    return URLSafeTimedSerializer(_keys(), salt="postroom session", signer_kwargs=options)


def _form_signer() -> Signer:
    return Signer(_keys(), salt="postroom form", key_derivation="hmac", digest_method=hashlib.sha256)
