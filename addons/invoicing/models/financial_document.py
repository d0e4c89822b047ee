"""`FinancialDocument`: an invoice, a credit note or a quotation, with its lines and its timeline."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from html import escape
from typing import Any

from core.api import Chatter, Progress, UserError, api_method, cron_method, fields, get_model, now, transaction

from ..amounts import Totals, totals

TYPES = {"invoice": "Invoice", "credit_note": "Credit note", "quotation": "Quotation"}
TEMPLATE = "financial_document_send_template"
BOUNCE = "Find the right address"
REMINDER = "Payment reminder"
REMINDERS_PER_RUN = 100
_COMPUTED = ("number", "untaxed", "tax", "total")


def _today() -> date:
    return now().date()


def _in_two_weeks() -> date:
    return _today() + timedelta(days=14)


class FinancialDocument(Chatter):
    """A document with a total.

    It has no number while it is a draft that nobody saw. The number is taken when it is first sent or leaves the draft
    state, and stays: a numbered document is cancelled, never deleted, so that the numbers have no gap.
    """

    _title = "Invoices"
    label_field = "number"
    _track = ("state", "total", "due_date")
    _rendered_lists = ("lines",)
    _money = ("untaxed", "tax", "total")
    _on_unknown = "hold"

    number = fields.CharField(max_length=32, null=True)
    type = fields.SelectionField(TYPES, default="invoice")
    state = fields.SelectionField(
        {"draft": "Draft", "sent": "Sent", "paid": "Paid", "cancelled": "Cancelled"}, default="draft"
    )
    contact: Any = fields.ForeignKeyField(
        "models.Contact", null=True, related_name="documents", on_delete=fields.RESTRICT
    )
    company: Any = fields.ForeignKeyField("models.Company", related_name="documents", on_delete=fields.RESTRICT)
    company_id: int
    user: Any = fields.ForeignKeyField("models.User", null=True, related_name="documents", on_delete=fields.SET_NULL)
    issue_date = fields.DateField(default=_today)
    due_date = fields.DateField(default=_in_two_weeks)
    currency = fields.CharField(max_length=3, default="EUR")
    untaxed = fields.DecimalField(max_digits=16, decimal_places=4, default=Decimal(0))
    tax = fields.DecimalField(max_digits=16, decimal_places=4, default=Decimal(0))
    total = fields.DecimalField(max_digits=16, decimal_places=4, default=Decimal(0))
    note = fields.TextField(default="")
    """Plain text under the totals."""
    reminded_on = fields.DateField(null=True)
    seen_at = fields.DatetimeField(null=True)
    """When a mail about it was first opened; an estimate, as opens are."""
    created_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        unique_together = (("company", "number"),)
        indexes = (("state", "due_date"),)

    @property
    def display_name(self) -> str:
        """`Invoice INV/2026/0001`, or `Invoice (draft 7)` while it has no number."""
        return f"{TYPES[self.type]} {self.number or f'(draft {self.pk})'}"

    @property
    def is_overdue(self) -> bool:
        """Whether an invoice that was sent is past its due date."""
        return self.type == "invoice" and self.state == "sent" and self.due_date < _today()

    # Storing.

    async def save(self, *args: Any, **kwargs: Any) -> None:
        """Store the document with the totals of its lines, and with a number once it is no draft.

        A number once given stays, whatever this copy says; UserError where the type under it was changed.
        """
        before = self.number
        try:
            async with transaction():
                if self._saved_in_db:
                    await self._keep_up()
                if self.state != "draft" and self.number is None:
                    self.number = await self._next_number()
                if kwargs.get("update_fields") is not None:
                    kwargs["update_fields"] = sorted({*kwargs["update_fields"], *_COMPUTED})
                await super().save(*args, **kwargs)
        except BaseException:
            self.number = before  # It went back with the transaction, and somebody else will have it.
            raise

    async def delete(self, *args: Any, **kwargs: Any) -> None:
        """Delete a draft; UserError for a document that has its number."""
        if self.number is not None:
            raise UserError(f"{self.display_name} has its number already; cancel it instead of deleting it.")
        await super().delete(*args, **kwargs)

    async def _keep_up(self) -> None:
        """Take over the number that is stored, and add up the lines that are."""
        # Whoever adds up waits for the one before, so that no line is left out of the totals.
        stored = await type(self).select_for_update().get(id=self.pk)
        if stored.number and stored.type != self.type:
            raise UserError(f"{stored.display_name} has its number already; its type cannot be changed.")
        self.number = stored.number
        sums = await self.totals()
        self.untaxed, self.tax, self.total = sums.untaxed, sums.tax, sums.total

    async def totals(self) -> Totals:
        """Add up the stored lines."""
        lines = await get_model("FinancialDocumentLine").filter(document_id=self.pk)
        return totals([(line.subtotal, line.tax_rate) for line in lines], self.currency)

    async def _next_number(self) -> str:
        number: str = await get_model("DocumentSequence").take(self.company_id, self.type, self.issue_date)
        return number

    # What a person does with it.

    @api_method(title="Give it its number")
    async def confirm(self) -> None:
        """Give the document its number, once."""
        async with transaction():
            stored = await type(self).select_for_update().get(id=self.pk)
            number = stored.number or await stored._next_number()
            await type(self).filter(id=self.pk).update(number=number)
        self.number = number

    async def send(self, *, author: Any = None, **options: Any) -> Any:
        """Queue the mail with the PDF for its contact and return the Message.

        The document is `sent` when a server has accepted the mail. Raises UserError where there is nobody to send it
        to, and what `send_template` raises.
        """
        contact = await self.contact
        if not options.get("to") and not getattr(contact, "email", ""):
            raise UserError(f"{self.display_name} has no contact with an e-mail address; choose one, or give it one.")
        return await self.send_template(TEMPLATE, author=author, **options)

    async def send_template(self, identifier: str, *, author: Any = None, **options: Any) -> Any:
        """Render a template for this document, numbered first, and send it in the name of its company."""
        if self.state == "cancelled":
            raise UserError(f"{self.display_name} is cancelled and is not sent any more.")
        await self.confirm()
        company = await self.company
        options.setdefault("company", company)
        if author is None and company.email:
            name = company.name.replace("\\", "").replace('"', "")
            options.setdefault("from_email", f'"{name}" <{company.email}>')
        return await super().send_template(identifier, author=author, **options)

    @api_method(title="Mark as paid")
    async def mark_paid(self) -> None:
        """Note that the money has come; UserError for what nobody pays."""
        if self.type == "quotation" or self.state == "cancelled":
            raise UserError(f"{self.display_name} cannot be paid: only an invoice or a credit note that stands can.")
        self.state = "paid"
        await self.save()

    @api_method(title="Cancel")
    async def cancel(self) -> None:
        """Take the document back, with its number; UserError once it is paid."""
        if self.state == "paid":
            raise UserError(f"{self.display_name} is paid; write a credit note instead of cancelling it.")
        self.state = "cancelled"
        await self.save()

    async def post_failure(self, message: Any, error: str) -> None:
        """Note for colleagues that a mail about this document was not delivered."""
        await self.post_note(f"<p>The mail “{escape(message.subject)}” was not delivered: {escape(error)}</p>")

    async def note_bounce(self, recipient: str, reason: str) -> None:
        """Ask the person in charge to find another way to a recipient; once, until that is done."""
        summary = f"{self.display_name} did not arrive at {recipient}"[:255]
        waiting = get_model("Activity").filter(res_model="FinancialDocument", res_id=self.pk, kind=BOUNCE, done_at=None)
        if not await waiting.filter(summary=summary).exists():
            await self.schedule_activity(BOUNCE, _today(), summary=summary, note=reason, assignee=await self.user)

    # Looking after the money.

    @classmethod
    def overdue(cls, among: Any = None) -> Any:
        """Return the query of invoices that were sent and are past their due date, longest overdue first."""
        documents = cls.all() if among is None else among
        return documents.filter(type="invoice", state="sent", due_date__lt=_today()).order_by("due_date", "id")

    @classmethod
    @cron_method
    async def remind_overdue(cls) -> Progress:
        """Give the person in charge of each overdue invoice a reminder to do, once for each due date."""
        waiting = await cls.overdue().filter(reminded_on=None).limit(REMINDERS_PER_RUN + 1)
        for document in waiting[:REMINDERS_PER_RUN]:
            await document._remind()
        return Progress(items=min(len(waiting), REMINDERS_PER_RUN), more=len(waiting) > REMINDERS_PER_RUN)

    async def _remind(self) -> None:
        async with transaction():
            if await type(self).filter(id=self.pk, reminded_on=None).update(reminded_on=_today()):
                await self.schedule_activity(
                    REMINDER, _today(), summary=f"{self.display_name} is overdue", assignee=await self.user
                )
