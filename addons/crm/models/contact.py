"""What the CRM adds to `Contact`."""

from __future__ import annotations

from typing import Any

from core.api import Record, UserError, fields, get_model

from .crm_lead import OPEN_STAGES


class ContactOfLeads(Record):
    """A contact knows where it came from, and stays while leads with it are open."""

    extends = "Contact"

    lead_source = fields.CharField(max_length=100, default="")

    async def open_leads(self) -> list[Any]:
        """Return the leads with this contact that are neither won nor lost, oldest first."""
        leads: list[Any] = await get_model("CrmLead").filter(contact_id=self.pk, stage__in=OPEN_STAGES).order_by("id")
        return leads

    async def delete(self, *args: Any, **kwargs: Any) -> None:
        """Delete the contact; UserError while it has open leads."""
        leads = await self.open_leads()
        if leads:
            names = ", ".join(lead.name for lead in leads[:3])
            raise UserError(f"{self.display_name} has open leads ({names}); win or lose them first.")
        await super().delete(*args, **kwargs)
