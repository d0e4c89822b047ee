"""`ModelRegistry`: a row per model, so that records (templates, routes, access) can point at a model."""

from __future__ import annotations

from core.orm import fields
from core.orm.record import Record


class ModelRegistry(Record):
    """One model of the running host. `identifier` is the model's name."""

    _of_host = True

    identifier = fields.CharField(max_length=100, unique=True)
    name = fields.CharField(max_length=100)
    addon = fields.CharField(max_length=64)
    active = fields.BooleanField(default=True)
