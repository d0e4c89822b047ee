"""Records as plain data: what templates, hooks and pages read instead of models.

The result holds only dicts, lists, strings, numbers, booleans, dates and None. Secrets and raw bytes never are in it.
"""

from __future__ import annotations

from typing import Any, cast

from tortoise.fields.relational import BackwardFKRelation, ForeignKeyFieldInstance, ManyToManyFieldInstance

from core.orm.fields import BinaryField, SecretField

_HIDDEN_TYPES = (SecretField, BinaryField)


async def plain_data(record: Any, depth: int = 2) -> dict[str, Any]:
    """Return `record` as plain data, with its relations by name down to `depth` levels.

    A to-one relation is a dict (or None), a to-many one a list of dicts; the last level has columns only.
    Columns whose names a model lists in `_private` are left out.
    """
    meta = record._meta
    data = {name: getattr(record, name) for name in meta.db_fields if name in meta.fields_map and _shown(record, name)}
    data["display_name"] = record.display_name
    if depth > 0:
        await record.fetch_related(*_relations(record))
        for name in _relations(record):
            data[name] = await _related(getattr(record, name), depth - 1)
    return data


def _shown(record: Any, name: str) -> bool:
    private = cast("tuple[str, ...]", getattr(record, "_private", ()))
    return name not in private and not isinstance(record._meta.fields_map[name], _HIDDEN_TYPES)


def _relations(record: Any) -> list[str]:
    """To-one and many-to-many relations, and the lists that a model names in `_rendered_lists`."""
    wanted = cast("tuple[str, ...]", getattr(record, "_rendered_lists", ()))
    return [
        name
        for name, field in record._meta.fields_map.items()
        if _shown(record, name) and (name in wanted or _is_forward(field))
    ]


def _is_forward(field: Any) -> bool:
    if isinstance(field, ManyToManyFieldInstance):
        return not field._generated
    return isinstance(field, ForeignKeyFieldInstance) and not isinstance(field, BackwardFKRelation)


async def _related(value: Any, depth: int) -> Any:
    if value is None:
        return None
    if hasattr(value, "_meta"):
        return await plain_data(value, depth)
    return [await plain_data(item, depth) for item in value]
