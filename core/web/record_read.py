"""Records as a program reads them: the fields that it asked for, those of related records among them.

As many statements as relations are asked for, however many records. Each field is gated, and related records count as
far as the user may read them; only the name of what a record points at comes along unasked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from pydantic import BaseModel
from tortoise.fields.relational import ManyToManyFieldInstance

from core.access import Access, Right
from core.errors import UserError, did_you_mean
from core.orm.fields import BinaryField
from core.runtime import runtime
from core.web.record_faults import invalid
from core.web.record_shape import FieldShape, readable, shape_of

MOST_FIELDS = 100
MOST_RELATIONS = 3
_MOST_RELATED = 5_000
_ALWAYS = frozenset({"id", "display_name"})


class Named(BaseModel):
    """A record that is pointed at."""

    id: int
    display_name: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Fields of one model: its own, and relations with what is wanted there; None is id and name alone."""

    columns: tuple[FieldShape, ...] = ()
    relations: Mapping[FieldShape, Wanted | None] = field(default_factory=dict)
    with_name: bool = True


def wanted_by_default(access: Access, model: Any) -> Wanted:
    """Return all of a model that the user may read: its columns, what it points at by name, and its lines whole."""
    shapes = [shape for shape in readable(access, model).values() if shape.is_default]
    relations: dict[FieldShape, Wanted | None] = {}
    for shape in shapes:
        if shape.is_lines and access.may(shape.related.__name__):
            relations[shape] = _columns_of_lines(access, shape)
        elif shape.is_relation and not shape.is_lines:
            relations[shape] = None
    return Wanted(tuple(shape for shape in shapes if not shape.is_relation), relations)


def wanted_fields(access: Access, model: Any, paths: Sequence[str], place: str = "/fields") -> Wanted:
    """Return what a list of names such as `name`, `contact.email`, `lines.amount` asks for.

    Raises InvalidRecord for what is no field, AccessDenied for what this user may not read.
    """
    if len(paths) > MOST_FIELDS:
        raise invalid(place, f"names more than {MOST_FIELDS} fields")
    tree: dict[str, Any] = {}
    for number, path in enumerate(paths):
        names = path.split(".")
        if len(names) > MOST_RELATIONS + 1:
            raise invalid(f"{place}/{number}", f"goes over more than {MOST_RELATIONS} relations")
        branch = tree
        for name in names:
            branch = branch.setdefault(name, {})
        _check(access, model, names, f"{place}/{number}")
    return _wanted(model, tree)


async def plain_records(access: Access, records: Sequence[Any], wanted: Wanted) -> list[dict[str, Any]]:
    """Return records of one model as JSON holds them; an amount is text, since a binary fraction would change it."""
    told = [_own(record, wanted) for record in records]
    for shape, inner in wanted.relations.items():
        if shape.is_to_one:
            await _add_one(access, shape, inner, records, told)
        else:
            await _add_many(access, shape, inner, records, told)
    return told


def light(query: Any, model: Any) -> Any:
    """Return a query that leaves out the bytes of files."""
    meta = model._meta
    if not any(isinstance(meta.fields_map[name], BinaryField) for name in meta.db_fields):
        return query
    return query.only(
        *(name for name in meta.fields_db_projection if not isinstance(meta.fields_map[name], BinaryField))
    )


def plain(value: Any) -> Any:
    """Return one value as JSON holds it."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value.isoformat() if isinstance(value, date | datetime) else value


def named(record: Any) -> dict[str, Any]:
    """Return what stands for a record where another points at it."""
    return {"id": record.pk, "display_name": record.display_name}


def _check(access: Access, model: Any, names: Sequence[str], place: str) -> None:
    """Refuse a path that leads nowhere, or where the user may not go."""
    for at, name in enumerate(names):
        if name in _ALWAYS and at == len(names) - 1:
            return
        shape = shape_of(model).get(name)
        if shape is None or not shape.may_read:
            hint = did_you_mean(name[:100], _ALWAYS | {one for one, each in shape_of(model).items() if each.may_read})
            raise invalid(place, f"names no field of {model.__name__} that can be read.{hint}")
        access.require_field(model.__name__, name, Right.READ)
        if at < len(names) - 1 and not shape.is_relation:
            raise invalid(place, f"cannot go on from {model.__name__}.{name}, which is no relation")
        if shape.is_relation and (at < len(names) - 1 or shape.is_to_many):
            model = shape.related
            access.require(model.__name__, Right.READ)


def _wanted(model: Any, tree: Mapping[str, Any]) -> Wanted:
    shapes = shape_of(model)
    return Wanted(
        columns=tuple(shapes[name] for name in tree if name in shapes and not shapes[name].is_relation),
        relations={
            shapes[name]: _wanted(shapes[name].related, below) if below else None
            for name, below in tree.items()
            if name in shapes and shapes[name].is_relation
        },
        with_name="display_name" in tree,
    )


def _columns_of_lines(access: Access, shape: FieldShape) -> Wanted:
    """Return the columns of lines, and what they point at but for what they are lines of."""
    own = [one for one in readable(access, shape.related).values() if one.is_default]
    back = shape.column.relation_field
    return Wanted(
        tuple(one for one in own if not one.is_relation),
        {one: None for one in own if one.is_to_one and one.attribute != back},
    )


def _own(record: Any, wanted: Wanted) -> dict[str, Any]:
    told = {"id": record.pk}
    if wanted.with_name:
        told["display_name"] = record.display_name
    return told | {shape.name: plain(getattr(record, shape.name)) for shape in wanted.columns}


async def _add_one(
    access: Access, shape: FieldShape, inner: Wanted | None, records: Sequence[Any], told: Sequence[dict[str, Any]]
) -> None:
    keys = [getattr(record, shape.attribute) for record in records]
    found = await _related(access, shape, inner, {key for key in keys if key is not None})
    for key, one in zip(keys, told, strict=True):
        one[shape.name] = found.get(key)


async def _add_many(
    access: Access, shape: FieldShape, inner: Wanted | None, records: Sequence[Any], told: Sequence[dict[str, Any]]
) -> None:
    ids = [record.pk for record in records]
    if isinstance(shape.column, ManyToManyFieldInstance):
        pairs = await _linked(shape, ids)
        found = await _related(access, shape, inner, {target for _, target in pairs})
    else:
        rows = await _rows(access.records(shape.related.__name__), shape, f"{shape.column.relation_field}__in", ids)
        pairs = [(getattr(row, shape.column.relation_field), row.pk) for row in rows]
        found = await _shown(access, await access.visible(rows), inner)
    of_each: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for owner, target in pairs:
        if target in found:
            of_each[owner].append(found[target])
    for record_id, one in zip(ids, told, strict=True):
        one[shape.name] = of_each[record_id]


async def _related(
    access: Access, shape: FieldShape, inner: Wanted | None, ids: Iterable[int]
) -> dict[int, dict[str, Any]]:
    """Return related records by id: what one record points at by its name, all others as far as the user may read."""
    wanted_ids = list(ids)
    if not wanted_ids or (shape.is_to_many and not access.may(shape.related.__name__)):
        return {}
    if inner is None and shape.is_to_one:
        return await _shown(access, await _rows(shape.related.all(), shape, "id__in", wanted_ids), None)
    rows = await _rows(access.records(shape.related.__name__), shape, "id__in", wanted_ids)
    return await _shown(access, await access.visible(rows), inner)


async def _shown(access: Access, rows: Sequence[Any], inner: Wanted | None) -> dict[int, dict[str, Any]]:
    told = [named(row) for row in rows] if inner is None else await plain_records(access, rows, inner)
    return {row.pk: one for row, one in zip(rows, told, strict=True)}


async def _rows(query: Any, shape: FieldShape, among: str, ids: Sequence[int]) -> list[Any]:
    rows: list[Any] = await light(query.filter(**{among: ids}), shape.related).order_by("id").limit(_MOST_RELATED + 1)
    if len(rows) > _MOST_RELATED:
        name = shape.related.__name__
        raise UserError(f"{shape.name} leads to more than {_MOST_RELATED} records here; ask for {name} with a filter.")
    return rows


async def _linked(shape: FieldShape, ids: Sequence[int]) -> list[tuple[int, int]]:
    """Return the pairs (record, related record) of a many-to-many relation."""
    database, column = runtime().database, shape.column
    owner, target = column.backward_key, column.forward_key
    of_these = database.dialect.among(f'"{owner}"', database.dialect.param(1))
    rows = await database.fetch(
        f'SELECT "{owner}" AS owner, "{target}" AS target FROM "{column.through}" WHERE {of_these} '
        f'ORDER BY "{target}" LIMIT {_MOST_RELATED + 1}',
        [database.dialect.ids(ids)],
    )
    if len(rows) > _MOST_RELATED:
        raise UserError(f"{shape.name} leads to more than {_MOST_RELATED} records here; ask for fewer at once.")
    return [(row["owner"], row["target"]) for row in rows]
