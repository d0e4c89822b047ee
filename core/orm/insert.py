"""Inserting many rows of a model at the speed of the database, each with the id it got.

The ORM's constructor looks at every field of every record anew, and its `bulk_create` gives no ids back. Here rows are
turned into columns: what all of them share is checked, encoded and said once, and what is null in all of them not at
all. No `save` of a model runs, so it is for rows that no addon is asked about one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from operator import is_, itemgetter
from typing import Any

from tortoise.exceptions import ValidationError
from tortoise.fields import BigIntField, BooleanField, CharField, FloatField, IntField, TextField

from core import clock
from core.orm.database import Database
from core.orm.dialect import Children, Rows
from core.orm.fields import JSONField, SelectionField, as_json
from core.orm.transaction import transaction

_AT_ONCE = 500
"""Rows in a step of the database: what is spent on each step counts little, and the event loop turns in between."""
_AS_IT_IS = (IntField, BigIntField, BooleanField, FloatField, TextField)
_Encode = Callable[[Any], Any]


async def insert_many(database: Database, records: Sequence[Any]) -> None:
    """Store new records, all of one model; each then has its id and counts as saved."""
    if records:
        ids = await insert_rows(database, type(records[0]), list(map(vars, records)))
        for one, row_id in zip(records, ids, strict=True):
            one.pk = row_id
            one._saved_in_db = True


async def insert_rows(
    database: Database, model: Any, rows: Sequence[dict[str, Any]], children: Children | None = None
) -> Sequence[int]:
    """Store rows, all or none, and return their ids in order.

    A row has a value of the right type for each attribute of a column (`company_id`), as `blank_row` does; it is given
    its time of creation. `children` are rows of another table that go in with theirs.
    """
    if len(rows) <= _AT_ONCE:
        return await _insert(database, model, rows, children) if rows else []
    ids: list[int] = []
    async with transaction():
        for start in range(0, len(rows), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            ids += await _insert(database, model, rows[part], children and children.part(part))
    return ids


def blank_row(model: Any) -> dict[str, Any]:
    """Return what an untouched record holds, by the attributes of its columns; lists and mappings are its own."""
    plan = _plan(model)
    return {**plan.blank, **{name: make() for name, make in plan.made}}


def new_record(model: Any, **values: Any) -> Any:
    """Return a record that is not stored yet, in a tenth of the constructor's time; `values` are of the right types, by
    the attributes of their columns (`company_id`).
    """
    plan = _plan(model)
    made = {name: make() for name, make in plan.made}
    record = model.__new__(model)
    record.__dict__ = {**plan.blank, **made, plan.key: None, **_NEW, "_await_when_save": {}, **values}
    return record


def stored_record(model: Any, row: dict[str, Any], row_id: int) -> Any:
    """Return the record of a row that was inserted, and is now the record's own; so are its lists and mappings."""
    plan = _plan(model)
    for name in plan.structured:
        row[name] = _own(row[name])
    row |= _STORED
    row["_await_when_save"] = {}
    row[plan.key] = row_id
    record = model.__new__(model)
    record.__dict__ = row
    return record


_NEW = {"_partial": False, "_saved_in_db": False, "_custom_generated_pk": False}
_STORED = {"_partial": False, "_saved_in_db": True, "_custom_generated_pk": False}


def _own(value: Any) -> Any:
    """Return the value, or a copy that shares no list and no mapping with it."""
    if isinstance(value, dict):
        return {key: _own(one) for key, one in value.items()} if value else {}
    if isinstance(value, list):
        return list(map(_own, value))
    return value


async def _insert(
    database: Database, model: Any, rows: Sequence[dict[str, Any]], children: Children | None
) -> Sequence[int]:
    *_, last = await database.batch(database.dialect.insertion(_columns(model, rows), children))
    return database.dialect.inserted_ids(last, len(rows))


def _columns(model: Any, rows: Sequence[dict[str, Any]]) -> Rows:
    """Turn rows into columns of values as the database takes them."""
    plan = _plan(model)
    now = clock.now() if plan.stamps else None
    for name, is_renewed in plan.stamps:
        for row in rows:
            if is_renewed or row[name] is None:
                row[name] = now
    shared: dict[str, Any] = {}
    own: dict[str, list[Any]] = {}
    several = len(rows) > 1
    for (column, encode), values in zip(plan.columns, zip(*map(plan.values, rows), strict=True), strict=True):
        first = values[0]
        if several and not _are_alike(values, first):
            own[column] = list(values) if encode is None else _encoded(values, encode)
        elif first is not None:
            shared[column] = first if encode is None else encode(first)
    if not own:  # There is one row, or several the very same: they are counted by a column.
        name, value = shared.popitem()
        own[name] = [value] * len(rows)
    return Rows(plan.table, plan.key, shared, own, plan.types)


def _are_alike(values: tuple[Any, ...], first: Any) -> bool:
    if isinstance(first, (list, dict)):
        # Equal ones may hold 1 and True, which JSON tells apart.
        return all(map(is_, values, repeat(first)))
    return values.count(first) == len(values)


def _encoded(values: Iterable[Any], encode: _Encode) -> list[Any]:
    return [None if value is None else encode(value) for value in values]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What inserting needs to know of a model. `columns` have what makes a value, which is not None, one of theirs.

    `stamps` are the attributes that the insert itself gives the time, with whether it does so each time. `blank` is
    what an untouched record holds, `made` is made for each; `structured` hold lists and mappings. `types` are
    PostgreSQL's, by column.
    """

    table: str
    key: str
    columns: tuple[tuple[str, _Encode | None], ...]
    values: Callable[[Mapping[str, Any]], tuple[Any, ...]]
    stamps: tuple[tuple[str, bool], ...]
    blank: Mapping[str, Any]
    made: tuple[tuple[str, Callable[[], Any]], ...]
    structured: tuple[str, ...]
    types: Mapping[str, str]


def _plan(model: Any) -> _Plan:
    """Return the model's plan, which lives and dies with the model, as that does with its host."""
    plan: _Plan | None = vars(model).get("_insertion_plan")
    if plan is None:
        plan = model._insertion_plan = _made_plan(model)
    return plan


def _made_plan(model: Any) -> _Plan:
    meta = model._meta
    columns = {name: column for name, column in meta.fields_db_projection.items() if name != meta.pk_attr}
    fields = {name: meta.fields_map[name] for name in columns}
    made = {name: make for name, field in fields.items() if (make := _maker(field.default)) is not None}
    return _Plan(
        table=meta.db_table,
        key=meta.db_pk_column,
        columns=tuple((columns[name], _encoder(field)) for name, field in fields.items()),
        values=itemgetter(*fields),
        stamps=tuple(
            (name, field.auto_now)
            for name, field in fields.items()
            if getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False)
        ),
        blank={name: field.default for name, field in fields.items() if name not in made},
        made=tuple(made.items()),
        structured=tuple(name for name, field in fields.items() if type(field) is JSONField),
        types={columns[name]: _postgres_type(field) for name, field in fields.items()},
    )


def _maker(default: Any) -> Callable[[], Any] | None:
    """Return what makes a default that is not the same for all."""
    if isinstance(default, (list, dict)):
        return partial(_own, default)
    return default if callable(default) else None


def _encoder(field: Any) -> _Encode | None:
    """Return what makes a value of the right type one of the column's; None where it is one."""
    if type(field) in _AS_IT_IS:
        return None
    if type(field) is CharField:
        return partial(_short_text, field)
    if type(field) is SelectionField:
        return partial(_choice, field)
    if type(field) is JSONField and field.encoder is as_json:
        return partial(_text_of_json, field)
    return partial(_column_value, field)


def _short_text(field: Any, value: str) -> str:
    if len(value) > field.max_length:
        name, most = field.model_field_name, field.max_length
        raise ValidationError(f"{name}: {len(value)} characters, and at most {most} are kept")
    return value


def _choice(field: Any, value: Any) -> Any:
    return value if value in field.choices else _column_value(field, value)


def _text_of_json(field: Any, value: Any) -> Any:
    return as_json(value) if isinstance(value, (list, dict)) else _column_value(field, value)


def _column_value(field: Any, value: Any) -> Any:
    return field.to_db_value(value, field.model)


def _postgres_type(field: Any) -> str:
    """Return the type that parameters for the column have; a text that is too long for it must not be cut."""
    sql: str = field.get_for_dialect("postgres", "SQL_TYPE")
    return "text" if sql.startswith("VARCHAR") else sql
