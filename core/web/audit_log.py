"""The audit log as it is read: by what was done, by whom, to which record, in which request; newest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Query

from core.access import Access
from core.web.parameters import LARGEST, NO_NUL, Before

PAGE = 50


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to look for; what is empty does not matter."""

    action: str = ""
    login: str = ""
    model: str = ""
    record_id: int | None = None
    request_id: str = ""
    before: int | None = None


def wanted(
    action: Annotated[str, Query(max_length=64, pattern=NO_NUL)] = "",
    login: Annotated[str, Query(max_length=320, pattern=NO_NUL)] = "",
    model: Annotated[str, Query(max_length=100, pattern=NO_NUL)] = "",
    record_id: Annotated[int | None, Query(ge=0, le=LARGEST)] = None,
    request_id: Annotated[str, Query(max_length=128, pattern=NO_NUL)] = "",
    before: Before = None,
) -> Wanted:
    """Read what to look for from a query."""
    return Wanted(action, login.strip().casefold(), model, record_id, request_id, before)


async def entries(access: Access, asked: Wanted, limit: int = PAGE) -> tuple[list[Any], int | None]:
    """Return a page of entries, and where the next one starts."""
    rows = access.records("AuditEntry")
    for name in ("action", "login", "model", "record_id", "request_id"):
        value = getattr(asked, name)
        if value not in ("", None):
            rows = rows.filter(**{name: value})
    if asked.before is not None:
        rows = rows.filter(id__lt=asked.before)
    found = await rows.order_by("-id").limit(limit + 1)
    return found[:limit], found[limit - 1].id if len(found) > limit else None
