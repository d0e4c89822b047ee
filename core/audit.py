"""The audit log: who did what to which record, from where, with which token, in which request.

An entry is written in the transaction of what it tells, so neither is there without the other. No secret goes in: what
bears the name of one is masked here, whoever passes it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from core.pattern import pattern
from core.runtime import Caller, acting_user, caller, get_model

MASK = "********"
_SECRET_NAME = pattern(r"pass|secret|token|key|hash|credential|cookie|authori[sz]ation", re.IGNORECASE)
_TEXT_CHARS = 200
_MOST_ITEMS = 1000


async def audit(action: str, record: Any = None, /, **detail: Any) -> None:
    """Write that the acting user, or the host itself, did `action`; to `record`, where it was done to one.

    `detail` is plain data about it; long texts are cut.
    """
    user, asked = acting_user(), caller()
    await get_model("AuditEntry").create(
        action=action,
        user=user,
        login=getattr(user, "login", "")[:320],
        token=asked.token[:16],
        command=asked.command[:100],
        model=type(record).__name__ if record is not None else "",
        record_id=record.pk if record is not None else None,
        record_name=str(record.display_name)[:_TEXT_CHARS] if record is not None else "",
        request_id=asked.request_id,
        address=asked.address[:45],
        detail=_plain(detail),
    )


def is_asked_for() -> bool:
    """Tell whether somebody asked for what is being done, rather than the host's own machinery doing its work."""
    return acting_user() is not None or caller() != Caller()


def _plain(value: Any, name: str = "") -> Any:
    if value is not None and not isinstance(value, bool) and _SECRET_NAME.search(name):
        return MASK
    if isinstance(value, Mapping):
        return {str(key): _plain(one, str(key)) for key, one in list(value.items())[:_MOST_ITEMS]}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one) for one in list(value)[:_MOST_ITEMS]]
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value.isoformat() if isinstance(value, date) else str(value)
    return "".join(char if char.isprintable() else " " for char in text[:_TEXT_CHARS])
