"""Records as plain data: what templates, hooks and pages read instead of models.

The result holds only dicts, lists, strings, numbers, booleans, dates and None. Secrets and raw bytes never are in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

from tortoise.fields.relational import BackwardFKRelation, ForeignKeyFieldInstance, ManyToManyFieldInstance

from core.orm.fields import BinaryField, SecretField

_HIDDEN_TYPES = (SecretField, BinaryField)


async def plain_data(record: Any, depth: int = 2) -> dict[str, Any]:
    """Return `record` as plain data, with its relations by name down to `depth` levels.

    A to-one relation is a dict (or None), a to-many one a list of dicts; the last level has columns only.
    Columns whose names a model lists in `_private` are left out.
    """
    return (await plain_data_of([record], depth))[0]


async def plain_data_of(records: Sequence[Any], depth: int = 2) -> list[dict[str, Any]]:
    """Return records of one model as plain data, by as many queries as there are relations, however many records.

    What several records point at is the same dict in each of them.
    """
    if not records:
        return []
    model = type(records[0])
    meta = model._meta
    columns = [name for name in meta.fields_map if name in meta.db_fields and _shown(model, name)]
    told = [{name: getattr(one, name) for name in columns} | {"display_name": one.display_name} for one in records]
    relations = _relations(model) if depth > 0 else []
    if relations:
        await model.fetch_for_list(records, *relations)
    for name in relations:
        await _add_related(name, records, told, depth - 1)
    return told


async def _add_related(name: str, records: Sequence[Any], told: Sequence[dict[str, Any]], depth: int) -> None:
    values = [getattr(record, name) for record in records]
    targets = {one.pk: one for value in values for one in _each(value)}
    data = dict(zip(targets, await plain_data_of(list(targets.values()), depth), strict=True))
    for value, entry in zip(values, told, strict=True):
        entry[name] = (
            data[value.pk] if hasattr(value, "_meta") else None if value is None else [data[one.pk] for one in value]
        )


def _each(value: Any) -> Iterable[Any]:
    """Return the records that a fetched relation leads to."""
    if value is None:
        return ()
    return (value,) if hasattr(value, "_meta") else value


def _shown(model: Any, name: str) -> bool:
    private = cast("tuple[str, ...]", getattr(model, "_private", ()))
    return name not in private and not isinstance(model._meta.fields_map[name], _HIDDEN_TYPES)


def _relations(model: Any) -> list[str]:
    """To-one and many-to-many relations, and the lists that a model names in `_rendered_lists`."""
    wanted = cast("tuple[str, ...]", getattr(model, "_rendered_lists", ()))
    return [
        name
        for name, field in model._meta.fields_map.items()
        if _shown(model, name) and (name in wanted or _is_forward(field))
    ]


def _is_forward(field: Any) -> bool:
    if isinstance(field, ManyToManyFieldInstance):
        return not field._generated
    return isinstance(field, ForeignKeyFieldInstance) and not isinstance(field, BackwardFKRelation)
