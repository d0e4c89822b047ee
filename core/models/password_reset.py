"""`PasswordReset`: a link by which somebody who forgot the password sets another one; good once, and for an hour.

The link goes to the login itself, which is an address that only administrators change, and is made of BASE_URL: what
the request says of the host is never looked at. Only a hash of its token is kept.
"""

from __future__ import annotations

import secrets
from datetime import timedelta
from hashlib import sha256
from typing import Any, Self

import structlog

from core import clock
from core.audit import audit
from core.cron.method import cron_method
from core.delivery.system_mail import queue_system_mail
from core.errors import UserError
from core.models.user import require_password
from core.orm import fields
from core.orm.record import Record
from core.orm.transaction import transaction
from core.pattern import pattern
from core.runtime import get_model, settings

log = structlog.get_logger(__name__)

_HOLDS = timedelta(hours=1)
_KEPT = timedelta(days=30)
_TOKEN = pattern(r"[A-Za-z0-9_-]{43}")
_TEMPLATE = "password_reset"
_URL_MARK = "%reset_url%"
"""Stands in the template for the link, which no record holds."""


class ResetOver(UserError):
    """The link is no good, or no longer; which of them it is, nobody is told."""

    code = "reset_over"

    def __init__(self) -> None:
        super().__init__("This link was used already, is older than an hour, or is incomplete; ask for another one.")


class PasswordReset(Record):
    """One request that somebody with an account has made."""

    _private = ("token_hash", "proof")
    _admins_write = ("*",)
    _written_over_http = False
    _title = "Password resets"

    user = fields.ForeignKeyField("models.User", related_name="password_resets", on_delete=fields.CASCADE)
    user_id: int
    token_hash = fields.CharField(max_length=64, unique=True)
    proof = fields.CharField(max_length=64)
    """What the user's password was known by: with another one the link is dead."""
    expires_at = fields.DatetimeField()
    used_at = fields.DatetimeField(null=True)
    created_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        indexes = (("expires_at",),)

    @classmethod
    async def ask(cls, login: str) -> None:
        """Mail a link to the active user with this login, if there is one; whoever asks is told nothing.

        Raises UserError where the host cannot write or has no BASE_URL.
        """
        account = login.strip().casefold()
        user = None if "\0" in account else await get_model("User").get_or_none(login=account, active=True)
        if user is None or "@" not in account:
            await audit("password_reset_asked", user)
            return
        base_url = settings().BASE_URL.rstrip("/")
        if not base_url:
            raise UserError("No password can be reset by mail: set BASE_URL, which the link begins with.")
        token = secrets.token_urlsafe(32)
        subject, body = await _texts(user)
        expires_at = clock.now() + _HOLDS
        async with transaction():
            await cls.create(user=user, token_hash=_hash(token), proof=_proof(user), expires_at=expires_at)
            await audit("password_reset_asked", user)
            link = f"{base_url}/login/reset/{token}"
            await queue_system_mail(account, subject, body.replace(_URL_MARK, link), expires_at=expires_at)

    @classmethod
    async def of(cls, token: str) -> Self:
        """Return the request that a token is of, with its user; ResetOver where the token is no good."""
        found = None
        if _TOKEN.fullmatch(token):
            found = await cls.get_or_none(token_hash=_hash(token), used_at=None).select_related("user")
        if found is None or not found._is_good:
            raise ResetOver
        return found

    @property
    def _is_good(self) -> bool:
        user: Any = self.user
        return bool(user.active and self.expires_at > clock.now() and secrets.compare_digest(self.proof, _proof(user)))

    @classmethod
    async def redeem(cls, token: str, password: str) -> Any:
        """Give the token's user a new password, once; returns the User, who is logged in nowhere any more.

        All of its sessions end, all API tokens are revoked and other links are dead. Raises ResetOver, and UserError
        for a password that is too short, which leaves the link good.
        """
        found = await cls.of(token)
        require_password(password)
        user: Any = found.user
        async with transaction():
            if not await cls.filter(id=found.pk, used_at=None).update(used_at=clock.now()):
                raise ResetOver
            await user.change_password(password)
            for one in await get_model("ApiToken").filter(user_id=user.pk, revoked_at=None):
                await one.revoke()
            await audit("password_reset", user)
        return user

    @classmethod
    @cron_method
    async def cron_prune(cls) -> int:
        """Delete requests that were over a month ago; return how many."""
        count: int = await cls.filter(expires_at__lte=clock.now() - _KEPT).delete()
        return count


async def _texts(user: Any) -> tuple[str, str]:
    """Return subject and HTML in the user's language."""
    template = await get_model("EmailTemplate").get_or_none(identifier=_TEMPLATE, active=True)
    if template is None:
        raise UserError(f"No password can be reset by mail: there is no active template {_TEMPLATE}.")
    texts = await template.render_for(user, locale=user.locale or None, only=("subject", "content"))
    if _URL_MARK not in texts["content"]:
        raise UserError(f"No password can be reset by mail: the template {_TEMPLATE} lacks {_URL_MARK}.")
    return texts["subject"], texts["content"]


def _hash(token: str) -> str:
    # 256 random bits need no slow hash; the purpose keeps it apart from any other token's.
    return sha256(f"postroom password reset {token}".encode()).hexdigest()


def _proof(user: Any) -> str:
    return sha256(f"postroom password {user.pk} {user.password_hash}".encode()).hexdigest()
