"""`MailingList`: people who are written to together, and who can leave."""

from __future__ import annotations

from typing import Any

from core.api import Record, UserError, fields

UNNAMED_LIST = "Mailings"
"""The list that recipients of campaigns to records leave: all such campaigns at once."""


class MailingList(Record):
    """A list. Its name is what recipients leave by, in each mail that was sent: so it stays as it is."""

    _title = "Mailing lists"

    name = fields.CharField(max_length=100, unique=True)
    description = fields.TextField(default="")
    company: Any = fields.ForeignKeyField(
        "models.Company", null=True, related_name="mailing_lists", on_delete=fields.SET_NULL
    )
    company_id: int | None
    active = fields.BooleanField(default=True)
    created_at = fields.DatetimeField(auto_now_add=True)

    async def save(self, *args: Any, **kwargs: Any) -> None:
        """Store the list; UserError for another name, or one that is none."""
        self.name = self.name.strip()
        if not self.name or self.name == "*" or not self.name.isprintable():
            raise UserError("A list needs a name that its readers can be shown.")
        if self.name == UNNAMED_LIST:
            raise UserError(f"{UNNAMED_LIST} are the campaigns to no list; choose another name.")
        before = await type(self).get_or_none(id=self.pk) if self._saved_in_db else None
        if before is not None and before.name != self.name:
            raise UserError(
                f'The list "{before.name}" keeps its name, which the links in its mails hold; make a new one.'
            )
        await super().save(*args, **kwargs)
