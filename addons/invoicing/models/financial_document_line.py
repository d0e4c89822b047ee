"""`FinancialDocumentLine`: one thing that is charged for."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from core.api import Record, fields, get_model, transaction

from ..amounts import rounded


class FinancialDocumentLine(Record):
    """A quantity at a price; `subtotal` is without tax, and `tax_rate` is in percent."""

    label_field = "description"
    _title = "Lines of invoices"
    _money = ("unit_price", "subtotal")
    _private = ("document", "document_id")

    document: Any = fields.ForeignKeyField("models.FinancialDocument", related_name="lines", on_delete=fields.CASCADE)
    document_id: int
    description = fields.CharField(max_length=500)
    quantity = fields.DecimalField(max_digits=14, decimal_places=3, default=Decimal(1))
    unit_price = fields.DecimalField(max_digits=14, decimal_places=4, default=Decimal(0))
    tax_rate = fields.DecimalField(max_digits=6, decimal_places=3, default=Decimal(0))
    subtotal = fields.DecimalField(max_digits=16, decimal_places=4, default=Decimal(0))

    async def save(self, *args: Any, **kwargs: Any) -> None:
        """Store the line with its subtotal, and its document with new totals."""
        async with transaction():
            # The document's row first, so that two lines of one document queue instead of waiting for each other.
            document = await get_model("FinancialDocument").select_for_update().get(id=self.document_id)
            self.subtotal = rounded(self.quantity * self.unit_price, document.currency)
            await super().save(*args, **kwargs)
            await document.save()

    async def delete(self, *args: Any, **kwargs: Any) -> None:
        """Delete the line, and store its document with new totals."""
        async with transaction():
            document = await get_model("FinancialDocument").select_for_update().get(id=self.document_id)
            await super().delete(*args, **kwargs)
            await document.save()
