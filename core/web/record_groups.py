"""Figures about records: counted, added up and averaged by groups, as far as the user may read records and fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tortoise.expressions import RawSQL

from core.access import Access
from core.errors import did_you_mean
from core.pattern import pattern
from core.runtime import get_model, runtime
from core.web.record_faults import invalid, step
from core.web.record_query import Question, asked, column_named
from core.web.record_read import named, plain
from core.web.record_shape import FieldShape

MOST_GROUPED, MOST_FIGURES = 4, 10
UNITS = ("day", "week", "month", "year")
FUNCTIONS = ("count", "count_distinct", "sum", "avg", "min", "max")
_NAME = pattern(r"[a-z][a-z0-9_]{0,39}")
_NUMBERS = frozenset({"integer", "number", "decimal"})
_ORDERED = _NUMBERS | {"date", "datetime", "line"}
_TIMES = frozenset({"date", "datetime"})
_AVERAGE_PLACES = 4


@dataclass(frozen=True, slots=True)
class Grouping:
    """What is asked: `by` are fields, times with a unit (`created_at:month`); `figures` are functions by their names,
    such as `count` and `sum:amount`; `order` names any of these, with `-` downwards.
    """

    by: tuple[str, ...]
    figures: Mapping[str, str]
    order: tuple[str, ...]
    limit: int


@dataclass(frozen=True, slots=True)
class Group:
    """One group: what its records have in common, and their figures."""

    by: dict[str, Any]
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Term:
    """One column of the answer, and how its raw values are read."""

    name: str
    shape: FieldShape | None
    sql: str
    unit: str = ""
    function: str = ""

    def read(self, value: Any) -> Any:
        if value is None or self.unit or self.shape is None:
            return value
        if self.function == "avg":
            places = self.shape.column.decimal_places if self.shape.type == "decimal" else 0
            mean = Decimal(str(value))
            return str(round(mean, places + _AVERAGE_PLACES)) if places else float(mean)
        if self.function == "count_distinct" or (self.function == "sum" and self.shape.type == "integer"):
            return int(value)
        if self.shape.type == "decimal":
            value = Decimal(str(value))
        return plain(value if self.shape.is_to_one else self.shape.column.to_python_value(value))


async def groups_of(access: Access, question: Question, grouping: Grouping) -> tuple[list[Group], bool]:
    """Return the groups, and whether there are more than the limit.

    Raises InvalidRecord for what cannot be grouped or added up, AccessDenied for a field that is not for this user.
    """
    model = get_model(question.model)
    by = [_group_term(access, model, name, f"/group_by/{at}") for at, name in enumerate(grouping.by)]
    figures = [_figure_term(access, model, *pair) for pair in grouping.figures.items()]
    columns = {f"g{at}": term for at, term in enumerate(by)} | {f"f{at}": term for at, term in enumerate(figures)}
    rows = asked(access, question).annotate(**{key: RawSQL(term.sql) for key, term in columns.items()})
    if by:
        rows = rows.group_by(*list(columns)[: len(by)])
    rows = rows.order_by(*_order(columns, grouping)).limit(grouping.limit + 1)
    found: list[dict[str, Any]] = await rows.values(*columns)
    told = [{key: term.read(row[key]) for key, term in columns.items()} for row in found[: grouping.limit]]
    await _name_records(by, told)
    return [_group(columns, row, len(by)) for row in told], len(found) > grouping.limit


def _group(columns: Mapping[str, _Term], row: Mapping[str, Any], grouped: int) -> Group:
    pairs = [(term.name, row[key]) for key, term in columns.items()]
    return Group(dict(pairs[:grouped]), dict(pairs[grouped:]))


def _group_term(access: Access, model: Any, name: str, place: str) -> _Term:
    field, colon, unit = name.partition(":")
    shape = column_named(access, model, field, place)
    if not colon:
        return _Term(name, shape, _column(model, shape))
    if unit not in UNITS or shape.type not in _TIMES:
        raise invalid(place, f"takes a unit ({', '.join(UNITS)}) behind the colon, and only where the field is a time")
    is_time = shape.type == "datetime"
    return _Term(name, shape, runtime().database.dialect.day_of(unit, _column(model, shape), is_time=is_time), unit)


def _figure_term(access: Access, model: Any, name: str, asked_for: str) -> _Term:
    place = "/figures" + step(name)
    if not _NAME.fullmatch(name):
        raise invalid("/figures", "must have names of small letters, digits and _, of at most 40 characters")
    function, colon, field = asked_for.partition(":")
    if function not in FUNCTIONS:
        hint = did_you_mean(function[:100], FUNCTIONS)
        raise invalid(place, f"must be one of {', '.join(FUNCTIONS)}, with a field behind a colon.{hint}")
    if not colon and function == "count":
        return _Term(name, None, "COUNT(*)")
    shape = column_named(access, model, field, place)
    allowed = _NUMBERS if function in ("sum", "avg") else _ORDERED if function in ("min", "max") else None
    if allowed is not None and shape.type not in allowed:
        raise invalid(place, f"cannot take the {function} of {field}, which is of the type {shape.type}")
    if function in ("count", "count_distinct"):
        distinct = "DISTINCT " if function == "count_distinct" else ""
        return _Term(name, shape, f"COUNT({distinct}{_column(model, shape)})", function="count_distinct")
    return _Term(name, shape, f"{function.upper()}({_number(model, shape)})", function=function)


def _column(model: Any, shape: FieldShape) -> str:
    return f'"{model._meta.db_table}"."{shape.stored_in}"'


def _number(model: Any, shape: FieldShape) -> str:
    """Return a column to calculate with: SQLite keeps decimals as text, and its whole numbers overflow."""
    column = _column(model, shape)
    if runtime().database.dialect.name != "sqlite" or shape.type not in ("decimal", "integer"):
        return column
    return f"CAST({column} AS {'NUMERIC' if shape.type == 'decimal' else 'REAL'})"


def _order(columns: Mapping[str, _Term], grouping: Grouping) -> list[str]:
    keys = {term.name: key for key, term in columns.items()}
    orders = []
    for at, name in enumerate(grouping.order):
        key = keys.get(name.removeprefix("-"))
        if key is None:
            raise invalid(f"/order/{at}", f"must be one of {', '.join(keys)}")
        orders.append(f"-{key}" if name.startswith("-") else key)
    return orders + [key for key in list(columns)[: len(grouping.by)] if key not in orders and f"-{key}" not in orders]


async def _name_records(by: Sequence[_Term], told: Sequence[dict[str, Any]]) -> None:
    """Put records, by id and name, in the place of the ids that groups have in common."""
    for at, term in enumerate(by):
        if term.shape is None or not term.shape.is_to_one:
            continue
        ids = {row[f"g{at}"] for row in told} - {None}
        records = {one.pk: named(one) for one in await term.shape.related.filter(id__in=list(ids))} if ids else {}
        for row in told:
            row[f"g{at}"] = records.get(row[f"g{at}"])
