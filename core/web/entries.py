"""One timeline entry by its id: the record's access is the entry's access."""

from __future__ import annotations

from typing import Any

from core.access import Access, Right
from core.errors import UnknownName
from core.runtime import get_model

_WITH = ("changes", "attachments", "author", "author_contact", "deliveries")


async def find_entry(access: Access, message_id: int, right: Right | None = None) -> Any:
    """Return a Message that the user may see, with what hangs on it.

    `right` is asked of the model Message beside that. Raises UnknownName where it is not there for this user.
    """
    if right is not None:
        access.require("Message", right)
    message = await get_model("Message").get_or_none(id=message_id).prefetch_related(*_WITH)
    if message is None or not await _is_visible(access, message):
        raise UnknownName(f"There is no message {message_id}.")
    return message


async def find_sent(access: Access, message_id: int) -> Any:
    """Return a Message whose recipients and bytes the user may see; UnknownName as above."""
    message = await find_entry(access, message_id)
    if not access.sees_sending(message):
        raise UnknownName(f"There is no message {message_id}.")
    return message


async def find_own_entry(access: Access, message_id: int) -> Any:
    """Return a Message that the user may take back; AccessDenied where it may not, UnknownName as above."""
    is_own = await get_model("Message").filter(id=message_id, author_id=access.user_id).exists()
    return await find_entry(access, message_id, None if is_own else Right.WRITE)


async def visible_entries(access: Access, messages: list[Any]) -> list[Any]:
    """Return those of some messages that the user may see."""
    readable = await access.readable((one.res_model, one.res_id) for one in messages)
    alone = await _readable_alone(access, [one.pk for one in messages if one.res_model is None])
    return [one for one in messages if access.sees(one) and _belongs(access, one, readable, alone)]


async def _is_visible(access: Access, message: Any) -> bool:
    return bool(await visible_entries(access, [message]))


async def _readable_alone(access: Access, ids: list[int]) -> set[int]:
    """Return those of some messages of no record that the user's rights on messages reach, rules and all."""
    if not ids or not access.may("Message"):
        return set()
    return set(await access.records("Message").filter(id__in=ids).values_list("id", flat=True))


def _belongs(access: Access, message: Any, readable: dict[tuple[str, int], Any], alone: set[int]) -> bool:
    if message.res_model is None:
        return message.pk in alone
    return access.is_admin or (message.res_model, message.res_id) in readable
