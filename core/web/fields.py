"""A record as a page shows it: its fields in order, relations with their address, its lines as a table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from core.access import Access
from core.orm.fields import DecimalField, FloatField, IntField, SelectionField
from core.orm.serialize import plain_data
from core.web.words import field_title, money_text, plain_text

_LIST_COLUMNS = 3
_NOT_IN_LISTS = ("identifier", "created_at", "active", "description", "note", "notes")


@dataclass(frozen=True, slots=True)
class Shown:
    """One value: its text; the record behind it as (model, id), if the user may read that; its time, if it is one."""

    title: str
    text: str
    link: tuple[str, int] | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """A column's heading, and whether it holds numbers."""

    title: str
    is_number: bool


@dataclass(frozen=True, slots=True)
class Lines:
    """A list that belongs to a record, as a table."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]


async def fields_of(record: Any, access: Access) -> list[Shown]:
    """Return a record's own fields and its to-one and many-to-many relations."""
    data = await plain_data(record, 1)
    meta = record._meta
    shown: list[Shown] = []
    for name in _in_order(meta, data):
        value = data[name]
        if name == "id" or name in _keys(record) or not access.may_field(type(record).__name__, name):
            continue
        if isinstance(value, dict):
            shown.append(_relation(record, name, value, access))
        elif _is_list_of_records(value):
            if name in meta.m2m_fields:
                shown.append(Shown(field_title(name), ", ".join(one["display_name"] for one in value) or "—"))
        else:
            shown.append(_value(record, name, value, _currency_of(record)))
    return shown


async def lines_of(record: Any, access: Access) -> list[Lines]:
    """Return the lists that a model names in `_rendered_lists`, as far as the user may read their records' model."""
    names = [name for name in getattr(record, "_rendered_lists", ()) if _may_read_lines(record, name, access)]
    data = await plain_data(record, 1) if names else {}
    return [_table(record, name, data[name], access) for name in names if data.get(name)]


def _may_read_lines(record: Any, name: str, access: Access) -> bool:
    related = record._meta.fields_map[name].related_model.__name__
    return access.may(related) and access.may_field(type(record).__name__, name)


def list_columns(model: Any, access: Access) -> list[str]:
    """Return the fields that tell a model's records apart in a list: the tracked ones, else the first plain ones."""
    meta = model._meta
    tracked = [name for name in getattr(model, "_track", ()) if name in meta.fields_map]
    kinds = ("CharField", "SelectionField", "DecimalField", "DateField", "IntField")
    plain = [
        name
        for name, field in meta.fields_map.items()
        if type(field).__name__ in kinds and name != model.label_field and name not in _NOT_IN_LISTS
        and name in meta.db_fields and name not in getattr(model, "_private", ()) and not name.endswith("_id")
    ]  # fmt: skip
    mine = [name for name in dict.fromkeys([*tracked, *plain]) if access.may_field(model.__name__, name)]
    return mine[:_LIST_COLUMNS]


async def row_of(record: Any, columns: Iterable[str]) -> list[str]:
    """Return a record's values in some columns, as text."""
    meta = record._meta
    row = []
    for name in columns:
        if name in meta.fk_fields:
            target = await getattr(record, name)
            row.append(target.display_name if target else "—")
        else:
            row.append(_value(record, name, getattr(record, name), _currency_of(record)).text)
    return row


async def as_json(record: Any) -> dict[str, Any]:
    """Return a record for a program: its own fields; a relation is `{"id", "display_name"}`, lines are whole."""
    data = await plain_data(record, 1)
    lines = getattr(record, "_rendered_lists", ())
    return {
        name: value if name in lines else _short(value) for name, value in data.items() if name not in _keys(record)
    }


def _in_order(meta: Any, names: Iterable[str]) -> list[str]:
    """Return those of some names that are fields, as the model declares them."""
    known = set(names)
    return [name for name in meta.fields_map if name in known]


def _short(value: Any) -> Any:
    if isinstance(value, dict) and "display_name" in value:
        return {"id": value["id"], "display_name": value["display_name"]}
    return [_short(one) for one in value] if _is_list_of_records(value) else value


def _is_list_of_records(value: Any) -> bool:
    return isinstance(value, list) and (not value or (isinstance(value[0], dict) and "display_name" in value[0]))


def _keys(record: Any) -> set[str]:
    """The columns behind to-one relations, which are shown as what they point at."""
    meta = record._meta
    return {meta.fields_map[name].source_field for name in meta.fk_fields | meta.o2o_fields}


def _relation(record: Any, name: str, value: Mapping[str, Any], access: Access) -> Shown:
    if "display_name" not in value:  # A JSON field that holds an object.
        return _value(record, name, value)
    model = record._meta.fields_map[name].related_model.__name__
    link = (model, value["id"]) if access.may(model) else None
    return Shown(field_title(name), value["display_name"], link)


def _currency_of(record: Any) -> str:
    return str(getattr(record, "currency", None) or "")


def _value(model: Any, name: str, value: Any, currency: str = "") -> Shown:
    field = model._meta.fields_map.get(name)
    if isinstance(value, datetime):
        return Shown(field_title(name), value.isoformat(), at=value)
    if isinstance(value, dict):
        return Shown(field_title(name), json.dumps(value, ensure_ascii=False, default=str) if value else "—")
    if isinstance(value, Decimal) and name in model._money:
        return Shown(field_title(name), money_text(value, currency))
    choices = field.choices if isinstance(field, SelectionField) else None
    return Shown(field_title(name), plain_text(value, choices))


def _table(record: Any, name: str, rows: Sequence[Mapping[str, Any]], access: Access) -> Lines:
    line_model = record._meta.fields_map[name].related_model
    keys = {line_model._meta.fields_map[fk].source_field for fk in line_model._meta.fk_fields}
    hidden = {"id", *keys}
    columns = [
        name
        for name in _in_order(line_model._meta, rows[0])
        if name not in hidden and access.may_field(line_model.__name__, name)
    ]
    currency = str(rows[0].get("currency") or "") or _currency_of(record)
    return Lines(
        title=field_title(name),
        columns=tuple(_column(line_model._meta.fields_map[name]) for name in columns),
        rows=tuple(tuple(_value(line_model, column, row[column], currency).text for column in columns) for row in rows),
    )


def _column(field: Any) -> Column:
    return Column(field_title(field.model_field_name), isinstance(field, DecimalField | FloatField | IntField))
