"""Doing something about outgoing mail, one message or many, each for itself, and on record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from core.access import Access, Right
from core.audit import audit
from core.errors import PostroomError, UnknownName
from core.orm.transaction import transaction
from core.web.entries import visible_entries

_DONE: Mapping[str, tuple[str, str]] = MappingProxyType({
    "retry": ("action_retry", "mail_retried"),
    "hold": ("hold", "mail_held"),
    "release": ("release", "mail_released"),
    "cancel": ("cancel", "mail_cancelled"),
    "send": ("hurry", "mail_hurried"),
})  # fmt: skip
"""The method of Message behind each action, and what the audit log calls it."""


async def steer(message: Any, action: str) -> None:
    """Do it; UserError where it does not go with how the message stands."""
    method, done = _DONE[action]
    async with transaction():
        await getattr(message, method)()
        await audit(done, message)


async def steer_all(access: Access, ids: Sequence[int], action: str) -> list[tuple[int, Any]]:
    """Do it to each of some messages, and return them by id, or the error where it was not done."""
    rows = access.records("Message", Right.WRITE).filter(id__in=list(set(ids)), direction="Outbound")
    found = {one.pk: one for one in await visible_entries(access, await rows)}
    return [(one, await _tried(found.get(one), one, action)) for one in dict.fromkeys(ids)]


async def _tried(message: Any, message_id: int, action: str) -> Any:
    if message is None:
        return UnknownName(f"There is no message {message_id}.")
    try:
        await steer(message, action)
    except PostroomError as error:
        return error
    return message
