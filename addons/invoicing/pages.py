"""The pages of invoicing: what their templates show, as plain data."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from core.api import my_records

_CONTACT = re.compile(r"[0-9]{1,18}")


async def unpaid(query: Mapping[str, str]) -> Mapping[str, Any]:
    """Return the invoices that wait for money, those due first at the top; `?contact=ID` shows one contact's."""
    waiting = (await my_records("FinancialDocument")).filter(type="invoice", state="sent")
    if _CONTACT.fullmatch(query.get("contact", "")):
        waiting = waiting.filter(contact_id=int(query["contact"]))
    documents = await waiting.order_by("due_date", "id").prefetch_related("contact")
    open_amounts: dict[str, Decimal] = defaultdict(Decimal)
    for document in documents:
        open_amounts[document.currency] += document.total
    return {
        "documents": [_row(document) for document in documents],
        "open_amounts": [f"{amount:,.2f} {currency}" for currency, amount in sorted(open_amounts.items())],
    }


def _row(document: Any) -> dict[str, Any]:
    return {
        "url": f"/records/FinancialDocument/{document.pk}",
        "number": document.number,
        "contact": document.contact.name if document.contact else "",
        "due_date": document.due_date,
        "is_overdue": document.is_overdue,
        "seen_at": document.seen_at,
        "total": f"{document.total:,.2f} {document.currency}",
    }
