"""The users whom a caller may name: those of its companies, or of none."""

from __future__ import annotations

from typing import Any

from core.access import Access
from core.runtime import get_model
from core.web.record_faults import invalid


async def colleagues(access: Access, ids: list[int], place: str) -> list[Any]:
    """Return active users by their ids; InvalidRecord at `place` of the body for one whom the caller may not name."""
    found = {user.pk: user for user in await get_model("User").filter(id__in=ids, active=True)} if ids else {}
    for one in ids:
        if one not in found or not _is_colleague(access, found[one]):
            raise invalid(place, f"There is no active user {one}.")
    return [found[one] for one in dict.fromkeys(ids)]


def _is_colleague(access: Access, user: Any) -> bool:
    return access.is_admin or user.company_id is None or user.company_id in access.company_ids
