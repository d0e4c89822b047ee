"""What invoicing adds to the command line."""

from __future__ import annotations

from collections.abc import Sequence

from core.api import get_model, now


async def print_overdue(_words: Sequence[str]) -> None:
    """Print a line for each overdue invoice: number, days, total, contact."""
    documents = await get_model("FinancialDocument").overdue().prefetch_related("contact")
    for document in documents:
        days = (now().date() - document.due_date).days
        contact = document.contact.name if document.contact else ""
        print(f"{document.number}  {days:>4} days  {document.total:>12.2f} {document.currency}  {contact}")
    print(f"{len(documents)} overdue" if documents else "No invoice is overdue.")
