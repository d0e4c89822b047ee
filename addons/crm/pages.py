"""The pages of the CRM: what their templates show, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from core.api import get_model, my_records

from .pipeline import pipeline_of


async def pipeline(_query: Mapping[str, str]) -> Mapping[str, Any]:
    """Return the stages with their figures, and the newest leads that are nobody's yet."""
    leads = await my_records("CrmLead")
    return {
        "stages": [asdict(stage) for stage in await pipeline_of(leads)],
        "unclaimed": [_row(lead) for lead in await get_model("CrmLead").unclaimed()],
    }


def _row(lead: Any) -> dict[str, Any]:
    return {
        "url": f"/records/CrmLead/{lead.pk}",
        "name": lead.name,
        "from": lead.contact_name or lead.email_from,
        "created_at": lead.created_at,
    }
