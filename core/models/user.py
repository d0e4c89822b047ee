"""`User`: somebody who can log in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.errors import UserError
from core.models.audited import Audited
from core.orm import fields
from core.orm.transaction import transaction
from core.runtime import get_model, runtime

_SHORTEST, _LONGEST = 12, 1024


class User(Audited):
    """An account; `login` is the e-mail address it logs in with."""

    _private = ("password_hash",)
    _admins_write = (
        *("identifier", "login", "password_hash", "is_admin", "active"),
        *("groups", "company", "companies", "contact"),
    )

    identifier = fields.CharField(max_length=128, null=True, unique=True)
    login = fields.CharField(max_length=320, unique=True)
    name = fields.CharField(max_length=200)
    password_hash = fields.CharField(max_length=255, default="")
    contact = fields.ForeignKeyField("models.Contact", null=True, on_delete=fields.SET_NULL, related_name="users")
    company = fields.ForeignKeyField("models.Company", null=True, on_delete=fields.SET_NULL, related_name="users")
    """The company that the user works for now."""
    companies = fields.ManyToManyField("models.Company", related_name="members", through="user_company")
    """Further companies that it may work for: their records are its own too."""
    groups = fields.ManyToManyField("models.Group", related_name="users", through="user_group")
    signature = fields.TextField(default="")
    """HTML that is put under this user's messages."""
    locale = fields.CharField(max_length=32, default="")
    timezone = fields.CharField(max_length=64, default="")
    is_admin = fields.BooleanField(default=False)
    """Passes every access check."""
    active = fields.BooleanField(default=True)
    created_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        table = "app_user"

    def audited_as(self, changes: Mapping[str, Any]) -> str:
        """Return the word for these changes."""
        return "password_changed" if "password_hash" in changes else "updated"

    async def set_password(self, password: str) -> None:
        """Store the argon2id hash of a new password; does not save the record."""
        self.password_hash = await runtime().hasher.hash(password)

    async def change_password(self, password: str) -> None:
        """Give the user a new password, which ends all of its sessions; UserError where it is too short."""
        require_password(password)
        async with transaction():
            await self.set_password(password)
            await self.save(update_fields=["password_hash"])
            await get_model("UserSession").end_all(self.pk)

    @classmethod
    async def authenticate(cls, login: str, password: str) -> User | None:
        """Return the active user with this login and password, or None; both take the same time."""
        account = login.strip().casefold()
        user = None if "\0" in account else await get_model("User").get_or_none(login=account, active=True)
        is_theirs = await runtime().hasher.matches(user.password_hash if user else "", password)
        return user if is_theirs else None


def require_password(password: str) -> None:
    """Raise UserError unless this may be somebody's password."""
    if len(password) < _SHORTEST:
        raise UserError(f"The password is too short; use at least {_SHORTEST} characters.")
    if len(password) > _LONGEST:
        raise UserError(f"The password is too long; use at most {_LONGEST} characters.")
