"""One description of each filter for all hosts of a test process.

Tortoise describes some twenty filters of each field of each model when a host composes its models, and again when it
opens its database: half the time that opening one takes. They are equal for equal columns, and nobody changes them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from tortoise import filters, models
from tortoise.fields import Field

_OF_THEIR_OWN = (
    filters.ManyToManyFieldInstance,
    filters.BackwardFKRelation,
    filters.JSONField,
    filters.ArrayField,
    filters.TSVectorField,
)


def share_filters() -> None:
    """Let the ORM describe the filters of equal columns once."""
    described: Callable[..., dict[str, Any]] = models.get_filters_for_field

    @cache
    def shared(field_name: str, source_field: str) -> dict[str, Any]:
        return described(field_name, None, source_field)

    def get_filters_for_field(field_name: str, field: Field[Any] | None, source_field: str) -> dict[str, Any]:
        if field_name == "pk" or isinstance(field, _OF_THEIR_OWN):
            return described(field_name, field, source_field)
        return shared(field_name, source_field)

    vars(models)["get_filters_for_field"] = get_filters_for_field
