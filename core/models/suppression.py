"""`Suppression`: an address that is not written to any more, at all or by one list, and why."""

from __future__ import annotations

from typing import Any

from core.delivery.suppression import EVERY_LIST, plain_address, suppress, suppress_all, suppressed, unsuppress
from core.mail.suppression import Reason
from core.orm import fields
from core.orm.record import Record


class Suppression(Record):
    """One reason not to write to one address.

    `list` is empty where it holds for all mail; a named one holds for the mail of that list only, `*` for that of every
    list. It ends at `expires_at`, or never. `source` says who found out, such as `ses`; `note` says it in words.
    """

    label_field = "address"
    _title = "Suppressions"

    address = fields.CharField(max_length=320)
    list = fields.CharField(max_length=255, default="")
    reason = fields.SelectionField({one.value: one.words for one in Reason}, default=Reason.MANUAL.value)
    source = fields.CharField(max_length=64, default="")
    note = fields.TextField(default="")
    expires_at = fields.DatetimeField(null=True)
    created_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        unique_together = (("address", "list", "reason"),)

    async def save(self, *args: Any, **kwargs: Any) -> None:
        """Store it under the form of the address in which equal mailboxes are equal."""
        self.address = plain_address(self.address)
        await super().save(*args, **kwargs)

    # Whoever may not import the delivery room finds its words here.

    EVERY_LIST = EVERY_LIST
    suppress = staticmethod(suppress)
    suppress_all = staticmethod(suppress_all)
    suppressed = staticmethod(suppressed)
    unsuppress = staticmethod(unsuppress)
