"""`CrmLead`: somebody who may become a customer."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from core.api import Chatter, Right, UserError, address_of, api_method, fields, get_model, my_records, now, transaction

STAGES = {"new": "New", "qualified": "Qualified", "won": "Won", "lost": "Lost"}
OPEN_STAGES = ("new", "qualified")
_NEWEST = 10


class CrmLead(Chatter):
    """An opportunity. Mail to `leads@`, `sales@` or `info@` creates one, and its sender is who it is discussed with."""

    _title = "Leads"
    _track = ("stage", "user")

    name = fields.CharField(max_length=300)
    contact: Any = fields.ForeignKeyField("models.Contact", null=True, related_name="leads", on_delete=fields.SET_NULL)
    contact_id: int | None
    contact_name = fields.CharField(max_length=200, default="")
    email_from = fields.CharField(max_length=512, default="")
    """Header form: `Name <address>`, or the address alone."""
    phone = fields.CharField(max_length=64, default="")
    description = fields.TextField(default="")
    stage = fields.SelectionField(STAGES, default="new")
    expected_revenue = fields.DecimalField(max_digits=16, decimal_places=2, default=Decimal(0))
    user: Any = fields.ForeignKeyField("models.User", null=True, related_name="leads", on_delete=fields.SET_NULL)
    """The salesperson."""
    company: Any = fields.ForeignKeyField("models.Company", null=True, related_name="leads", on_delete=fields.SET_NULL)
    company_id: int | None
    source = fields.CharField(max_length=100, default="")
    created_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        indexes = (("stage", "id"),)

    async def _collaborate_contact(self) -> Any:
        """Return the lead's contact, or the known contact with the address that it came from."""
        return await super()._collaborate_contact() or await self._contact_by_address()

    @api_method(title="Mark as won")
    async def mark_won(self) -> Any:
        """Win the lead, and return the contact that it is won with; UserError where it is lost already."""
        if self.stage == "lost":
            raise UserError(f'The lead "{self.name}" is lost; take it up again first.')
        async with transaction():
            self.stage = "won"
            await self.save(update_fields=["stage"])
            return await self.convert_to_contact()

    @api_method(title="Make a contact of it")
    async def convert_to_contact(self) -> Any:
        """Link the lead to its contact, made of what the lead says where nobody has the address, and return it.

        Raises UserError where the lead names nobody.
        """
        async with transaction():
            contact = await self._collaborate_contact() or await self._new_contact()
            if self.contact_id != contact.pk:
                self.contact = contact
                await self.save(update_fields=["contact_id"])
        return contact

    @classmethod
    @api_method(right=Right.READ, title="The newest that are nobody's")
    async def unclaimed(cls) -> list[Any]:
        """Return the newest leads that nobody has taken up, as far as the acting user may see them."""
        leads = await my_records("CrmLead")
        newest: list[Any] = await leads.filter(stage="new", user_id=None).order_by("-id").limit(_NEWEST)
        return newest

    async def take_up(self, user: Any) -> None:
        """Make `user` the salesperson of a lead that has none, who follows it from then on."""
        self.user = user
        await self.save(update_fields=["user_id"])
        await self.let_salesperson_follow()

    async def let_salesperson_follow(self) -> None:
        """Let the salesperson follow the lead, where there is one with a contact."""
        user = await self.user
        contact = await user.contact if user else None
        if contact is not None:
            await self.follow(contact, "salesperson")

    async def hear_from_contact(self) -> None:
        """Take a lost lead up again, since the other side wrote, and ask the salesperson to answer."""
        if self.stage == "lost":
            self.stage = "qualified"
            await self.save(update_fields=["stage"])
        await self._ask_to("Answer")

    async def ask_to_call(self, url: str) -> None:
        """Ask the salesperson to call, since the other side just followed a link of ours."""
        await self._ask_to("Call", note=f"They followed {url}")

    async def _ask_to(self, kind: str, note: str = "") -> None:
        """Give the salesperson something to do today, unless it waits to be done already."""
        waiting = {"res_model": "CrmLead", "res_id": self.pk, "kind": kind, "done_at": None}
        if not await get_model("Activity").exists(**waiting):
            summary = f"{kind}: {self.name}"[:255]
            await self.schedule_activity(kind, now().date(), summary=summary, note=note, assignee=await self.user)

    async def _contact_by_address(self) -> Any:
        address = address_of(self.email_from)
        return await get_model("Contact").filter(email__iexact=address).first() if address else None

    async def _new_contact(self) -> Any:
        address = address_of(self.email_from)
        if not self.contact_name and not address:
            raise UserError(f'The lead "{self.name}" names nobody; give it a contact name or an e-mail address.')
        return await get_model("Contact").create(
            name=self.contact_name or address,
            email=address,
            phone=self.phone,
            company_id=self.company_id,
            lead_source=self.source,
        )
