"""Finding records for a list: by name, a page at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core.access import Access
from core.runtime import get_model

PAGE = 50


@dataclass(frozen=True, slots=True)
class Found:
    """A page of records, newest first; `next_before` is where the next one starts, None at the end.

    A page may be short: what belongs to records that the user may not read is left out.
    """

    records: list[Any]
    next_before: int | None


async def search(access: Access, model: str, q: str = "", before: int | None = None, limit: int = PAGE) -> Found:
    """Return the records whose name holds `q` and whose id is under `before`, as far as the user may read them."""
    label = get_model(model).label_field
    rows = access.records(model)
    if q.strip() and label in get_model(model)._meta.db_fields and access.may_field(model, label):
        rows = rows.filter(**{f"{label}__icontains": q.strip()})
    if before is not None:
        rows = rows.filter(id__lt=before)
    found = await rows.order_by("-id").limit(limit + 1)
    return Found(await access.visible(found[:limit]), found[limit - 1].id if len(found) > limit else None)
