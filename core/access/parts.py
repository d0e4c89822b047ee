"""What a record belongs to: the record that a timeline's row names, and what it cannot be without."""

from __future__ import annotations

from typing import Any


def wholes(model: Any) -> list[tuple[str, Any]]:
    """Return the relations that a record cannot be without, with their models: what it is a part of."""
    declared = model._meta.fields_map
    return [
        (name, field.related_model)
        for name, field in declared.items()
        if name in model._meta.fk_fields and not field.null
    ]


def names_owner(model: Any) -> bool:
    """Tell whether a model's rows name any record as theirs, by `res_model` and `res_id`."""
    return all(name in model._meta.fields_map for name in ("res_model", "res_id"))


def is_of_timelines(model: Any, inside: tuple[Any, ...] = ()) -> bool:
    """Tell whether a model's rows name any record as theirs, or are parts of such rows."""
    if names_owner(model):
        return True
    return any(is_of_timelines(whole, (*inside, model)) for _, whole in wholes(model) if whole not in inside)


def owner_of(row: Any) -> tuple[str | None, int | None]:
    """Return (model, id) of what a row of a timeline belongs to; (None, None) for a row that stands alone."""
    if names_owner(row):
        return row.res_model, row.res_id
    name, whole = next(pair for pair in wholes(type(row)) if is_of_timelines(pair[1]))
    return whole.__name__, getattr(row, row._meta.fields_map[name].source_field)
