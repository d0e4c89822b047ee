"""`DocumentSequence`: the last number given out, per company, type of document and year."""

from __future__ import annotations

from datetime import date
from typing import Any

from core.api import Record, fields

PREFIXES = {"invoice": "INV", "credit_note": "CN", "quotation": "QUO"}


class DocumentSequence(Record):
    """A counter without gaps: whoever takes a number holds the row until the number is stored, or gives it back."""

    company: Any = fields.ForeignKeyField("models.Company", related_name="sequences", on_delete=fields.CASCADE)
    type = fields.SelectionField({name: name for name in PREFIXES})
    year = fields.IntField()
    last_number = fields.IntField(default=0)

    class Meta:
        unique_together = (("company", "type", "year"),)

    @property
    def display_name(self) -> str:
        return f"{PREFIXES[self.type]}/{self.year}"

    @classmethod
    async def take(cls, company_id: int, document_type: str, day: date) -> str:
        """Return the next number, such as `INV/2026/0001`; call it in the transaction that stores the number."""
        key: dict[str, Any] = {"company_id": company_id, "type": document_type, "year": day.year}
        # Two that come first at once both create the row; the second one's is ignored, and both queue for the first.
        await cls.bulk_create([cls(**key)], ignore_conflicts=True)
        sequence = await cls.select_for_update().get(**key)
        sequence.last_number += 1
        await sequence.save(update_fields=["last_number"])
        return f"{sequence.display_name}/{sequence.last_number:04d}"
