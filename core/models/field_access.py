"""`FieldAccess`: a gate before one field. A field with any row is for the members of those rows' groups alone."""

from __future__ import annotations

from typing import Any

from core.errors import UserError, did_you_mean
from core.models.audited import Audited
from core.orm import fields
from core.orm.filter import fields_of
from core.runtime import get_model


class FieldAccess(Audited):
    """One group's rights on one field, within its rights on the model."""

    _admins_write = ("*",)
    label_field = "field"

    identifier = fields.CharField(max_length=128, null=True, unique=True)
    model: Any = fields.ForeignKeyField("models.ModelRegistry", related_name="field_access", on_delete=fields.CASCADE)
    model_id: int
    field = fields.CharField(max_length=100)
    group = fields.ForeignKeyField("models.Group", related_name="field_access", on_delete=fields.CASCADE)
    can_read = fields.BooleanField(default=True)
    can_write = fields.BooleanField(default=False)

    class Meta:
        unique_together = (("model", "field", "group"),)

    async def save(self, *args: Any, **kwargs: Any) -> None:
        """Store the gate; UserError for a field that the model does not have, or never shows anyway."""
        row = await get_model("ModelRegistry").get_or_none(id=self.model_id)
        if row is None:
            raise UserError("The gate is of no model; name one.")
        known = fields_of(get_model(row.identifier))
        if self.field not in known:
            hint = did_you_mean(self.field, known)
            raise UserError(f'{row.identifier} has no field "{self.field}" that could have a gate.{hint}')
        await super().save(*args, **kwargs)
