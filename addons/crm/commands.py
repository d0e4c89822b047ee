"""What the CRM adds to the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.api import get_model

from .pipeline import pipeline_of


async def pipeline(_words: Sequence[str]) -> list[dict[str, Any]]:
    """Return a row for each stage: its leads, and what they may bring."""
    stages = await pipeline_of(get_model("CrmLead").all())
    return [{"stage": one.title, "leads": one.count, "expected_revenue": f"{one.revenue:.2f}"} for one in stages]
