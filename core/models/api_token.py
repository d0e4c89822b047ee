"""`ApiToken`: what a program logs in with, on behalf of a user and within some scopes."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, Self

from core import clock
from core.access.scope import Scope
from core.audit import audit
from core.errors import UserError
from core.orm import fields
from core.orm.record import Record
from core.orm.transaction import transaction
from core.pattern import pattern
from core.runtime import runtime

_TEXT = pattern(r"pr_([0-9a-f]{12})_[0-9a-f]{40}")
"""What scanners for secrets can look for: `pr_`, the public prefix, 160 random bits."""
_LONGEST = timedelta(days=3653)
_USE_NOTED_EVERY = timedelta(minutes=1)


class ApiToken(Record):
    """A token of one user. Only its hash is kept; `prefix` is the part that may be shown."""

    _private = ("secret_hash",)
    _admins_write = ("*",)
    _of_host = True
    _written_over_http = False
    _title = "API tokens"

    user = fields.ForeignKeyField("models.User", related_name="api_tokens", on_delete=fields.CASCADE)
    name = fields.CharField(max_length=100)
    """What its owner calls it."""
    prefix = fields.CharField(max_length=16, unique=True)
    secret_hash = fields.CharField(max_length=255)
    scopes = fields.JSONField(default=list)
    expires_at = fields.DatetimeField(null=True)
    last_used_at = fields.DatetimeField(null=True)
    """To the minute."""
    last_used_from = fields.CharField(max_length=45, default="")
    revoked_at = fields.DatetimeField(null=True)
    created_at = fields.DatetimeField(auto_now_add=True)

    @classmethod
    async def issue(
        cls, user: Any, name: str, scopes: Collection[str], *, expires_at: datetime | None = None
    ) -> tuple[Self, str]:
        """Make a token; return it with its text, which nobody can be told again. UserError where it may not be."""
        _require_sound(user, name, scopes, expires_at)
        prefix, secret = secrets.token_hex(6), secrets.token_hex(20)
        text = f"pr_{prefix}_{secret}"
        secret_hash = await runtime().hasher.hash(text)
        async with transaction():
            token = await cls.create(
                user=user,
                name=name.strip(),
                prefix=prefix,
                secret_hash=secret_hash,
                scopes=[one.value for one in Scope if one in scopes],
                expires_at=expires_at,
            )
            await audit("token_created", token, user=user.login, scopes=token.scopes, expires_at=expires_at)
        return token, text

    @classmethod
    async def named_in(cls, text: str) -> Self | None:
        """Return the token whose prefix a text bears, with its user; whether it is that token's text is not asked."""
        found = _TEXT.fullmatch(text)
        return await cls.get_or_none(prefix=found[1]).select_related("user") if found else None

    @property
    def fault(self) -> str:
        """Why the token is good for nothing; empty while it is good."""
        if self.revoked_at is not None:
            return "This token was revoked; make a new one."
        if self.expires_at is not None and self.expires_at <= clock.now():
            return "This token has expired; make a new one."
        return "" if self.user.active else "The user of this token is switched off."

    async def revoke(self) -> None:
        """End the token, from its next request on."""
        async with transaction():
            if await type(self).filter(id=self.pk, revoked_at=None).update(revoked_at=clock.now()):
                await audit("token_revoked", self)

    async def note_use(self, address: str) -> None:
        """Keep when and from where it was used last, by at most one write a minute."""
        at = clock.now()
        if self.last_used_at is None or self.last_used_at <= at - _USE_NOTED_EVERY:
            unchanged = type(self).filter(id=self.pk, last_used_at=self.last_used_at)
            await unchanged.update(last_used_at=at, last_used_from=address[:45])


def _require_sound(user: Any, name: str, scopes: Collection[str], expires_at: datetime | None) -> None:
    unknown = sorted(set(scopes) - set(Scope))
    if unknown or not scopes:
        known = ", ".join(Scope)
        raise UserError(f"There is no scope {unknown[0]}; there are {known}." if unknown else f"Choose from {known}.")
    if Scope.ADMIN in scopes and not user.is_admin:
        raise UserError("Only an administrator's token can have the scope admin.")
    if not name.strip() or len(name) > 100 or not name.isprintable():
        raise UserError("Give the token a name of at most 100 characters, to know it again by.")
    if expires_at is not None and expires_at <= clock.now():
        raise UserError("The token would have expired already; choose a time to come.")
    if expires_at is not None and expires_at > clock.now() + _LONGEST:
        raise UserError("A token holds for ten years at most, or without `expires_at` until it is revoked.")
