"""`Company`: who sends. Its currency, colours and address shape mails and documents."""

from __future__ import annotations

from typing import Any

from core.errors import UserError
from core.models.audited import Audited
from core.orm import fields
from core.runtime import get_model, runtime


class Company(Audited):
    """A company that owns records."""

    identifier = fields.CharField(max_length=128, null=True, unique=True)
    name = fields.CharField(max_length=200)
    email = fields.CharField(max_length=320, default="")
    phone = fields.CharField(max_length=64, default="")
    website = fields.CharField(max_length=255, default="")
    address = fields.TextField(default="")
    currency = fields.CharField(max_length=3, default="EUR")
    locale = fields.CharField(max_length=32, default="")
    color = fields.CharField(max_length=7, default="#2f5d8a")
    """The accent of branded mails, as `#rrggbb`."""
    footer = fields.TextField(default="")
    """Plain text under each branded mail."""
    no_tracking = fields.BooleanField(default=False)
    """True: this company counts no opens and no clicks."""
    active = fields.BooleanField(default=True)

    async def delete(self, using_db: Any = None) -> None:
        """Delete the company; UserError while it has records, since without a company they would be everybody's."""
        for entry in runtime().registry:
            model = get_model(entry.name)
            if "company" in model._meta.fk_fields and await model.filter(company_id=self.pk).exists():
                raise UserError(f"{self.name} still has records of {entry.name}; switch it off by `active` instead.")
        await super().delete(using_db)
