"""What the composer on a record page shows before anything goes: who will get it, and which templates fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core.access import Access, Right
from core.errors import UserError
from core.runtime import get_model
from core.web.words import people


@dataclass(frozen=True, slots=True)
class Composer:
    """The two forms of a record; `draft` keeps what was typed when it could not be sent."""

    recipients: tuple[str, ...]
    templates: tuple[Any, ...]
    mode: str = "message"
    subject: str = ""
    draft: str = ""
    error: str = ""

    @property
    def button(self) -> str:
        """What the send button says: how many people get it."""
        return f"Send to {people(len(self.recipients))}" if self.recipients else "Send"


async def composer_for(record: Any, access: Access, user: Any, **typed: str) -> Composer | None:
    """Return the composer, or None for a user who may not write on the record."""
    name = type(record).__name__
    if not access.may(name, Right.WRITE):
        return None
    templates = get_model("EmailTemplate").filter(model__identifier=name, active=True).order_by("name")
    return Composer(tuple(await record.message_recipients(user)), tuple(await templates), **typed)


def check_recipients(shown: list[str], now: list[str]) -> None:
    """Raise UserError where others would get the message than the page said."""
    if sorted(shown) != sorted(now):
        raise UserError(
            "The recipients changed since this page was loaded, so nothing was sent. Look at the button and try again."
        )
