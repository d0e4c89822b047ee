"""`Team`: people who share something, such as the mail accounts of a team of type `mail`."""

from __future__ import annotations

from typing import Any

from core.errors import UserError
from core.models.audited import Audited
from core.orm import fields
from core.runtime import get_model

MAIL = "mail"


class Team(Audited):
    """A set of users; only teams of type `mail` have mail accounts."""

    _admins_write = ("*",)

    identifier = fields.CharField(max_length=128, null=True, unique=True)
    name = fields.CharField(max_length=200)
    type = fields.SelectionField({"general": "General", MAIL: "Mail"}, default="general")
    members = fields.ManyToManyField("models.User", related_name="teams", through="team_member")
    """Who may use what the team has; administrators too only as members."""
    company = fields.ForeignKeyField("models.Company", null=True, related_name="teams", on_delete=fields.SET_NULL)
    active = fields.BooleanField(default=True)

    async def save(self, *args: Any, **kwargs: Any) -> None:
        """Store the team; UserError for one that would cease to be a mail team and has accounts."""
        if self._saved_in_db and self.type != MAIL and await get_model("MailAccount").filter(team_id=self.pk).exists():
            raise UserError(f"The team {self.name} has mail accounts; delete them before its type changes.")
        await super().save(*args, **kwargs)
