"""`ModelAccess`: which group may read, create, write and delete the records of a model. Without a row, nobody may."""

from __future__ import annotations

from core.models.audited import Audited
from core.orm import fields


class ModelAccess(Audited):
    """One group's rights on one model."""

    _admins_write = ("*",)

    identifier = fields.CharField(max_length=128, null=True, unique=True)
    model = fields.ForeignKeyField("models.ModelRegistry", related_name="access", on_delete=fields.CASCADE)
    group = fields.ForeignKeyField("models.Group", related_name="access", on_delete=fields.CASCADE)
    can_read = fields.BooleanField(default=True)
    can_create = fields.BooleanField(default=False)
    can_write = fields.BooleanField(default=False)
    can_delete = fields.BooleanField(default=False)

    class Meta:
        unique_together = (("model", "group"),)
