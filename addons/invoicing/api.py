"""What invoicing adds to the HTTP API."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from pydantic import BaseModel

from core.api import get_model, my_records


class OverdueInvoice(BaseModel):
    """An invoice that was sent and is past its due date."""

    id: int
    number: str
    contact: str | None
    due_date: date
    total: Decimal
    currency: str


async def overdue() -> list[OverdueInvoice]:
    """Return the overdue invoices that the caller may read, longest overdue first."""
    documents = get_model("FinancialDocument").overdue(await my_records("FinancialDocument"))
    return [
        OverdueInvoice(
            id=document.pk,
            number=document.number,
            contact=document.contact.name if document.contact else None,
            due_date=document.due_date,
            total=document.total,
            currency=document.currency,
        )
        for document in await documents.prefetch_related("contact")
    ]
