"""What the CRM adds to the host, and what it does when something happens."""

from __future__ import annotations

from typing import Any

from core.api import Command, Page, Received, get_model, hookimpl

from . import pages
from .commands import pipeline
from .models.contact import ContactOfLeads
from .models.crm_lead import OPEN_STAGES, CrmLead
from .signature import phone_in_signature


@hookimpl
def register_models() -> list[type]:
    return [CrmLead, ContactOfLeads]


@hookimpl
def register_pages() -> list[Page]:
    return [Page("pipeline", "pipeline.html", pages.pipeline, "Pipeline")]


@hookimpl
def register_commands() -> list[Command]:
    return [Command("pipeline", pipeline, "Print how many leads each stage has, and what they may bring.")]


@hookimpl
def filter_route_values(values: dict[str, Any], route: Any, email: Received) -> dict[str, Any] | None:
    """Fill in what a mail says of its sender beside name and address."""
    if route.target_model != "CrmLead":
        return None
    return {"source": "E-mail", **values, "phone": values.get("phone") or phone_in_signature(email.text)}


@hookimpl
async def record_created(record: Any) -> None:
    """The salesperson follows the lead."""
    if isinstance(record, CrmLead):
        await record.let_salesperson_follow()


@hookimpl
async def message_posted(message: Any) -> None:
    """Whoever writes to a lead that is nobody's takes it up."""
    if message.res_model != "CrmLead" or message.kind != "message" or message.author_id is None:
        return
    lead = await get_model("CrmLead").get_or_none(id=message.res_id, user_id=None)
    if lead is not None:
        await lead.take_up(await get_model("User").get(id=message.author_id))


@hookimpl
async def message_clicked(message: Any, url: str) -> None:
    """Whoever follows a link of an offer is thinking of it now: the salesperson had better call."""
    if message.res_model != "CrmLead":
        return
    lead = await get_model("CrmLead").get_or_none(id=message.res_id, stage__in=OPEN_STAGES)
    if lead is not None:
        await lead.ask_to_call(url)


@hookimpl
async def email_routed(email: Received, record: Any, message: Any) -> None:
    """An answer on a lead wants an answer, also where the lead was given up."""
    if isinstance(record, CrmLead) and message.parent_id is not None:
        await record.hear_from_contact()
