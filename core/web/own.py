"""What belongs to whoever asks, and to nobody else: its tokens and sessions, whatever the rights on their models."""

from __future__ import annotations

from typing import Any

from core.errors import UnknownName
from core.runtime import get_model


async def own(model: str, user: Any, record_id: int) -> Any:
    """Return a record of this user; UnknownName otherwise, whoever else has it."""
    found = await get_model(model).get_or_none(id=record_id, user_id=user.pk)
    if found is None:
        raise UnknownName(f"You have no {model} {record_id}.")
    return found
