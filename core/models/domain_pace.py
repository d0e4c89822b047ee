"""`DomainPace`: how fast mail may go to a domain, whichever server and worker it leaves through."""

from __future__ import annotations

from typing import Any

from core.errors import UserError
from core.mail.address import domain_of, envelope_address
from core.models.audited import Audited
from core.orm import fields


class DomainPace(Audited):
    """Limits for the recipients at one domain; a limit that is not set does not hold."""

    label_field = "domain"

    domain = fields.CharField(max_length=255, unique=True)
    """As it stands in addresses, such as `gmail.com`; `*` is every domain that has no row of its own."""
    rate_per_second = fields.IntField(null=True)
    rate_per_minute = fields.IntField(null=True)
    rate_per_day = fields.IntField(null=True)
    active = fields.BooleanField(default=True)

    async def save(self, *args: Any, **options: Any) -> None:
        """Store the pace, its domain as envelopes write it; UserError for a limit below one."""
        if self.domain != "*":
            self.domain = domain_of(envelope_address(f"postmaster@{self.domain.strip()}"))
        for name in ("rate_per_second", "rate_per_minute", "rate_per_day"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise UserError(f"{name} must be 1 or more, or empty for no limit; to stop mail, suspend the queue.")
        await super().save(*args, **options)
