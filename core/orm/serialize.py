"""Records as plain data: what templates, hooks and pages read instead of models.

The result holds only dicts, lists, strings, numbers, booleans, dates and None. Secrets and raw bytes never are in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, cast

from tortoise.fields.relational import BackwardFKRelation, ForeignKeyFieldInstance, ManyToManyFieldInstance

from core.orm.fields import BinaryField, SecretField

_HIDDEN_TYPES = (SecretField, BinaryField)


class Reader(Protocol):
    """Whose eyes records are read with, such as an Access."""

    def may(self, model: str) -> bool: ...
    def may_field(self, model: str, name: str) -> bool: ...
    def records(self, model: str) -> Any: ...


async def plain_data(record: Any, depth: int = 2) -> dict[str, Any]:
    """Return `record` as plain data, with its relations by name down to `depth` levels.

    A to-one relation is a dict (or None), a to-many one a list of dicts; the last level has columns only.
    Columns whose names a model lists in `_private` are left out.
    """
    return (await plain_data_of([record], depth))[0]


async def plain_data_of(
    records: Sequence[Any], depth: int = 2, *, reader: Reader | None = None
) -> list[dict[str, Any]]:
    """Return records of one model as plain data, by as many queries as there are relations, however many records.

    What several records point at is the same dict in each of them. With a `reader`, fields and related records that
    it may not read are left out.
    """
    if not records:
        return []
    model = type(records[0])
    meta = model._meta
    columns = [name for name in meta.fields_map if name in meta.db_fields and _shown(model, name, reader)]
    told = [{name: getattr(one, name) for name in columns} | {"display_name": one.display_name} for one in records]
    relations = _relations(model, reader) if depth > 0 else []
    if relations:
        await model.fetch_for_list(records, *relations)
    for name in relations:
        await _add_related(name, records, told, depth - 1, reader)
    return told


async def _add_related(
    name: str, records: Sequence[Any], told: Sequence[dict[str, Any]], depth: int, reader: Reader | None
) -> None:
    values = [getattr(record, name) for record in records]
    targets = await _read({one.pk: one for value in values for one in _each(value)}, reader)
    data = dict(zip(targets, await plain_data_of(list(targets.values()), depth, reader=reader), strict=True))
    for value, entry in zip(values, told, strict=True):
        entry[name] = (
            data.get(value.pk)
            if hasattr(value, "_meta")
            else None
            if value is None
            else [data[one.pk] for one in value if one.pk in data]
        )


async def _read(targets: dict[Any, Any], reader: Reader | None) -> dict[Any, Any]:
    """Return those of some records of one model, by their keys, that the reader may read."""
    if reader is None or not targets:
        return targets
    rows = reader.records(type(next(iter(targets.values()))).__name__)
    readable = set(await rows.filter(id__in=list(targets)).values_list("id", flat=True))
    return {key: one for key, one in targets.items() if key in readable}


def _each(value: Any) -> Iterable[Any]:
    """Return the records that a fetched relation leads to."""
    if value is None:
        return ()
    return (value,) if hasattr(value, "_meta") else value


def _shown(model: Any, name: str, reader: Reader | None) -> bool:
    if reader is not None and not reader.may_field(model.__name__, name):
        return False
    private = cast("tuple[str, ...]", getattr(model, "_private", ()))
    return name not in private and not isinstance(model._meta.fields_map[name], _HIDDEN_TYPES)


def _relations(model: Any, reader: Reader | None) -> list[str]:
    """To-one and many-to-many relations, and the lists that a model names in `_rendered_lists`."""
    wanted = cast("tuple[str, ...]", getattr(model, "_rendered_lists", ()))
    return [
        name
        for name, field in model._meta.fields_map.items()
        if _shown(model, name, reader)
        and (name in wanted or _is_forward(field))
        and (reader is None or reader.may(field.related_model.__name__))
    ]


def _is_forward(field: Any) -> bool:
    if isinstance(field, ManyToManyFieldInstance):
        return not field._generated
    return isinstance(field, ForeignKeyFieldInstance) and not isinstance(field, BackwardFKRelation)
