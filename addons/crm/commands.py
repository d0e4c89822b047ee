"""What the CRM adds to the command line."""

from __future__ import annotations

from collections.abc import Sequence

from core.api import get_model

from .pipeline import pipeline_of


async def print_pipeline(_words: Sequence[str]) -> None:
    """Print a line for each stage: its leads, and what they may bring."""
    for stage in await pipeline_of(get_model("CrmLead").all()):
        print(f"{stage.title:<10} {stage.count:>6}  {stage.revenue:>14,.2f}")
