"""`RecordRule`: which records of a model a right reaches, as a filter that is data."""

from __future__ import annotations

from typing import Any

from core.access.rule import checked_condition
from core.errors import UserError
from core.models.audited import Audited
from core.orm import fields
from core.runtime import get_model


class RecordRule(Audited):
    """A limit on rights that ModelAccess gives: on which records they hold.

    A rule of no group holds for everybody but administrators. Of the rules of a user's groups, one is enough.
    """

    _admins_write = ("*",)

    identifier = fields.CharField(max_length=128, null=True, unique=True)
    name = fields.CharField(max_length=200)
    model: Any = fields.ForeignKeyField("models.ModelRegistry", related_name="rules", on_delete=fields.CASCADE)
    model_id: int
    groups = fields.ManyToManyField("models.Group", related_name="rules", through="rule_group")
    can_read = fields.BooleanField(default=True)
    """The rule limits reading; `can_create`, `can_write` and `can_delete` likewise."""
    can_create = fields.BooleanField(default=True)
    can_write = fields.BooleanField(default=True)
    can_delete = fields.BooleanField(default=True)
    where: Any = fields.JSONField(default=dict)
    """A filter as `core.orm.filter` reads it. Beside plain values it knows `$user.id`, `$user.contact`,
    `$user.company`, `$user.companies`, `$user.groups`, `$now` and `$today`."""
    active = fields.BooleanField(default=True)

    async def save(self, *args: Any, **kwargs: Any) -> None:
        """Store the rule, checked (see `check`)."""
        await self.check()
        await super().save(*args, **kwargs)

    async def check(self) -> None:
        """Raise UserError with the place in `where` of what its model does not have or take."""
        row = await get_model("ModelRegistry").get_or_none(id=self.model_id)
        if row is None:
            raise UserError(f'The rule "{self.name}" is of no model; name one.')
        try:
            checked_condition(self.where, get_model(row.identifier))
        except UserError as error:
            raise UserError(f'The rule "{self.name}" on {row.identifier} cannot be kept: {error}') from error
