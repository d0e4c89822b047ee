"""`UserSession`: one login at one browser; so logging out ends it on the server too, and people see where they are."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any, Self

from core import clock
from core.cron.method import cron_method
from core.orm import fields
from core.orm.record import Record
from core.runtime import settings

_SEEN_NOTED_EVERY = timedelta(minutes=1)
_MOST_SHOWN = 100


class UserSession(Record):
    """A session of one user; it is over once its row is gone, or SESSION_DAYS after the login."""

    _private = ("key",)
    _admins_write = ("*",)
    _of_host = True
    _written_over_http = False
    _title = "Sessions"

    key = fields.CharField(max_length=64, unique=True)
    """What the signed cookie names; nothing can be done with it unsigned."""
    user = fields.ForeignKeyField("models.User", related_name="sessions", on_delete=fields.CASCADE)
    address = fields.CharField(max_length=45, default="")
    """Where it logged in from."""
    agent = fields.CharField(max_length=255, default="")
    """What the browser calls itself."""
    last_seen_at = fields.DatetimeField()
    """To the minute."""
    created_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        indexes = (("created_at",),)

    @classmethod
    async def open(cls, user: Any, address: str = "", agent: str = "") -> Self:
        """Begin a session."""
        shown = "".join(char if char.isprintable() else " " for char in agent)
        return await cls.create(
            key=secrets.token_urlsafe(24), user=user, address=address[:45], agent=shown[:255], last_seen_at=clock.now()
        )

    @classmethod
    async def current(cls, key: str) -> Self | None:
        """Return the session of this key with its user, unless it is over or the user switched off."""
        return await cls.get_or_none(key=key, user__active=True, created_at__gt=_oldest()).select_related("user")

    @classmethod
    async def of(cls, user_id: int) -> list[tuple[str, dict[str, Any]]]:
        """Return a user's sessions, the newest first: each one's key, and what may be told of it."""
        rows = cls.filter(user_id=user_id, created_at__gt=_oldest()).order_by("-id").limit(_MOST_SHOWN)
        told = await rows.values("key", "id", "address", "agent", "created_at", "last_seen_at")
        return [(row.pop("key"), row) for row in told]

    @classmethod
    async def end_all(cls, user_id: int, *, but: str = "") -> int:
        """End the sessions of a user, one key's excepted; return how many."""
        count: int = await cls.filter(user_id=user_id).exclude(key=but).delete()
        return count

    async def note_seen(self) -> None:
        """Keep when it was seen last, by at most one write a minute."""
        at = clock.now()
        if self.last_seen_at <= at - _SEEN_NOTED_EVERY:
            await type(self).filter(id=self.pk, last_seen_at=self.last_seen_at).update(last_seen_at=at)

    @classmethod
    @cron_method
    async def cron_prune(cls) -> int:
        """Delete what is over; return how many."""
        count: int = await cls.filter(created_at__lte=_oldest()).delete()
        return count


def _oldest() -> Any:
    return clock.now() - timedelta(days=settings().SESSION_DAYS)
