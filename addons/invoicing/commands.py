"""What invoicing adds to the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.api import get_model, now


async def overdue(_words: Sequence[str]) -> list[dict[str, Any]]:
    """Return a row for each overdue invoice: number, days, total, contact."""
    return [
        {
            "number": one.number,
            "days": (now().date() - one.due_date).days,
            "total": f"{one.total:.2f}",
            "currency": one.currency,
            "contact": one.contact.name if one.contact else "",
        }
        for one in await get_model("FinancialDocument").overdue().prefetch_related("contact")
    ]
