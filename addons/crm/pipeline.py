"""The pipeline: how many leads each stage has, and what they may bring."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from .models.crm_lead import STAGES


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage; `revenue` is the sum of what its leads are expected to bring."""

    name: str
    title: str
    count: int
    revenue: Decimal


async def pipeline_of(leads: Any) -> list[Stage]:
    """Return every stage, in order, with the figures of a query's leads."""
    counts = dict.fromkeys(STAGES, 0)
    revenues = dict.fromkeys(STAGES, Decimal(0))
    for stage, revenue in await leads.values_list("stage", "expected_revenue"):
        counts[stage] += 1
        revenues[stage] += revenue
    return [Stage(name, title, counts[name], revenues[name]) for name, title in STAGES.items()]
