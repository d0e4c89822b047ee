"""What a model looks like to a program: its fields, what each takes, and whether this caller may read or write it.

Derived from the composed model alone, so an addon's field is there without a word more. Secrets, raw bytes and what a
model lists in `_private` are never read here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tortoise.fields.relational import (
    BackwardFKRelation,
    BackwardOneToOneRelation,
    ForeignKeyFieldInstance,
    ManyToManyFieldInstance,
)

from core.access import Access, Right
from core.orm import fields

_TYPES: tuple[tuple[Any, str], ...] = (
    (fields.SelectionField, "selection"),
    (fields.SecretField, "secret"),
    (fields.TextField, "text"),
    (fields.CharField, "line"),
    (fields.BooleanField, "boolean"),
    (fields.IntField, "integer"),
    (fields.BigIntField, "integer"),
    (fields.FloatField, "number"),
    (fields.DecimalField, "decimal"),
    (fields.DatetimeField, "datetime"),
    (fields.DateField, "date"),
    (fields.BinaryField, "binary"),
    (fields.JSONField, "json"),
)
_TO_ONE, _TO_MANY, _LINES = "to-one", "to-many", "lines"
_RELATIONS = frozenset({_TO_ONE, _TO_MANY, _LINES})
_KEPT = "_field_shapes"


@dataclass(frozen=True, slots=True)
class FieldShape:
    """One field. `type` is a word for its values; `column` is Tortoise's field."""

    name: str
    type: str
    column: Any
    is_required: bool
    may_read: bool
    may_write: bool
    is_default: bool
    """Whether it comes along where no fields are named."""

    @property
    def is_relation(self) -> bool:
        return self.type in _RELATIONS

    @property
    def is_to_one(self) -> bool:
        return self.type == _TO_ONE

    @property
    def is_to_many(self) -> bool:
        return self.type in (_TO_MANY, _LINES)

    @property
    def is_lines(self) -> bool:
        return self.type == _LINES

    @property
    def is_column(self) -> bool:
        """Whether records can be ordered and grouped by it."""
        return not self.is_to_many and self.type not in ("json", "binary", "secret")

    @property
    def attribute(self) -> str:
        """Where the record keeps it: `contact_id` for `contact`."""
        return str(self.column.source_field) if self.is_to_one else self.name

    @property
    def stored_in(self) -> str:
        """The name of its column in the database."""
        return str(self.column.source_field or self.name)

    @property
    def related(self) -> Any:
        """The model that a relation leads to."""
        return self.column.related_model


def shape_of(model: Any) -> Mapping[str, FieldShape]:
    """Return a model's fields by name, as it declares them; kept with the model, and so with its host."""
    shapes: Mapping[str, FieldShape] | None = vars(model).get(_KEPT)
    if shapes is None:
        shapes = {shape.name: shape for shape in _shapes(model)}
        setattr(model, _KEPT, shapes)
    return shapes


def readable(access: Access, model: Any) -> dict[str, FieldShape]:
    """Return the fields of a model that a user may read."""
    return {
        name: shape
        for name, shape in shape_of(model).items()
        if shape.may_read and access.may_field(model.__name__, name, Right.READ)
    }


def writable(access: Access, model: Any) -> dict[str, FieldShape]:
    """Return the fields of a model that a user may write."""
    return {
        name: shape
        for name, shape in shape_of(model).items()
        if shape.may_write and access.may_field(model.__name__, name, Right.WRITE)
    }


def _shapes(model: Any) -> Iterator[FieldShape]:
    private = getattr(model, "_private", ())
    lines = getattr(model, "_rendered_lists", ())
    for name, column in model._meta.fields_map.items():
        kind = _kind_of(column)
        if name == "pk" or kind is None or getattr(column, "reference", None) is not None:
            continue
        is_stored = not isinstance(column, BackwardFKRelation) and not getattr(column, "_generated", False)
        is_made = column.pk or getattr(column, "auto_now", False) or getattr(column, "auto_now_add", False)
        is_read = name not in private and kind not in ("secret", "binary")
        yield FieldShape(
            name=name,
            type=kind,
            column=column,
            is_required=is_stored and not is_made and kind != _TO_MANY and bool(column.required),
            may_read=is_read,
            may_write=not is_made
            and kind != "binary"
            and (is_stored or name in lines)
            # A private relation says what the record is a part of; it is given where the record is made by itself.
            and (name not in private or kind == _TO_ONE),
            is_default=is_read and (is_stored or name in lines),
        )


def _kind_of(column: Any) -> str | None:
    if isinstance(column, ManyToManyFieldInstance):
        return _TO_MANY
    if isinstance(column, BackwardFKRelation):
        return None if isinstance(column, BackwardOneToOneRelation) else _LINES
    if isinstance(column, ForeignKeyFieldInstance):
        return _TO_ONE
    return next((word for kind, word in _TYPES if isinstance(column, kind)), None)
