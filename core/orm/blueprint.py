"""What the models of a registry want of a database: tables with columns and indexes, as plain values.

The SQL words of a type come from Tortoise; statements are put together here, so that a uniqueness is always an index
(which can be added and dropped on both databases) and two partial indexes over one column have two names.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from hashlib import sha256
from itertools import pairwise
from typing import Any, cast

from tortoise.fields.relational import ForeignKeyFieldInstance, ManyToManyFieldInstance
from tortoise.indexes import Index as TortoiseIndex

from core import clock
from core.errors import did_you_mean
from core.orm.catalog import Reference
from core.orm.registry import Registry

_PREFIXES = ("idx_", "uniq_")


@dataclass(frozen=True, slots=True)
class Column:
    """A column that a model's field is stored in; `field` is None for the two of a many-to-many table."""

    name: str
    type: str
    null: bool
    reference: Reference | None
    generated: str
    """The whole SQL of a primary key that the database counts, else empty."""
    field: Any = None

    @property
    def sql(self) -> str:
        """How a CREATE TABLE or an ADD COLUMN writes it."""
        return f'"{self.name}" {self.generated or self._plain()}'

    def _plain(self) -> str:
        sql = f"{self.type} {'NULL' if self.null else 'NOT NULL'}"
        if self.reference:
            sql += f' REFERENCES "{self.reference.table}" ("id") ON DELETE {self.reference.on_delete}'
        return sql

    def default(self) -> Any:
        """Return what old rows get, ready for the database; None when the field has no default."""
        value = self.field.default
        if getattr(self.field, "auto_now_add", False) or getattr(self.field, "auto_now", False):
            value = clock.now()
        value = value() if callable(value) else value
        return None if value is None else self.field.to_db_value(value, self.field.model)


@dataclass(frozen=True, slots=True)
class Index:
    """An index by the name that its table, columns and condition give it."""

    name: str
    sql: str
    words: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table that a model, or a many-to-many field, wants."""

    name: str
    model: str
    """The model that it belongs to, or `Model.field` for a many-to-many table."""
    columns: tuple[Column, ...]
    indexes: tuple[Index, ...]

    def create(self, without: Collection[Column] = ()) -> str:
        """Return the statement that makes it, without its indexes, and without the columns that are to come later."""
        columns = ", ".join(column.sql for column in self.columns if column not in without)
        return f'CREATE TABLE "{self.name}" ({columns})'

    def points_at(self) -> set[str]:
        """Name the tables that its foreign keys point at."""
        return {column.reference.table for column in self.columns if column.reference}

    def may_point_at(self) -> set[str]:
        """Name the tables that are pointed at only by columns that may be empty."""
        return self.points_at() - {
            column.reference.table for column in self.columns if column.reference and not column.null
        }


def wanted_tables(registry: Registry, dialect: str) -> tuple[list[Table], list[str]]:
    """Return all tables, each after those that it points at, and every fault in words."""
    tables: dict[str, Table] = {}
    faults: list[str] = []
    for entry in registry:
        model = registry.get(entry.name)
        for table in (_model_table(model, dialect, faults), *_many_to_many_tables(model, dialect)):
            if table.name in tables:
                faults.append(f"{table.model} and {tables[table.name].model} both use the table {table.name}")
            tables[table.name] = table
    return _in_order(tables, faults), faults


def owned_many_to_many(model: type[Any]) -> Iterator[tuple[str, ManyToManyFieldInstance[Any]]]:
    """Yield (field name, field) of the many-to-many fields that `model` declares itself."""
    for name in sorted(model._meta.m2m_fields):
        field = cast("ManyToManyFieldInstance[Any]", model._meta.fields_map[name])
        if not field._generated:
            yield name, field


def is_named_by_us(index: str) -> bool:
    """Whether an index has a name that its table and columns gave it, and so a new one after a rename."""
    return index.startswith(_PREFIXES)


def _in_order(tables: Mapping[str, Table], faults: list[str]) -> list[Table]:
    """Put each table after those that it points at; a circle is cut where a foreign key may be empty."""
    needs = {name: sorted(table.points_at() - {name}) for name, table in sorted(tables.items())}
    while True:
        try:
            return [tables[name] for name in TopologicalSorter(needs).static_order()]
        except CycleError as error:
            circle = list(reversed(error.args[1]))
            cut = next(((table, to) for table, to in pairwise(circle) if to in tables[table].may_point_at()), None)
            if cut is None:
                way = " -> ".join(tables[name].model for name in circle)
                faults.append(f"foreign keys run in a circle: {way}; let one of them be empty (null=True)")
                return []
            needs[cut[0]].remove(cut[1])


def _model_table(model: type[Any], dialect: str, faults: list[str]) -> Table:
    meta = model._meta
    columns = tuple(
        _column(meta.fields_map[name], column, dialect) for name, column in meta.fields_db_projection.items()
    )
    faults += [
        f"{model.__name__}.{column.field.model_field_name}: db_default is not supported; use default"
        for column in columns
        if column.field.has_db_default()
    ]
    return Table(meta.db_table, model.__name__, columns, tuple(_indexes(model, columns, faults)))


def _column(field: Any, name: str, dialect: str) -> Column:
    reference = _reference(getattr(field, "reference", None))
    generated = str(field.get_for_dialect(dialect, "GENERATED_SQL")) if field.pk and field.generated else ""
    return Column(name, field.get_for_dialect(dialect, "SQL_TYPE"), field.null, reference, generated, field)


def _reference(field: ForeignKeyFieldInstance[Any] | None) -> Reference | None:
    if field is None or not field.db_constraint:
        return None
    return Reference(field.related_model._meta.db_table, field.on_delete.value)


def _many_to_many_tables(model: type[Any], dialect: str) -> Iterator[Table]:
    for name, field in owned_many_to_many(model):
        table = field.through
        columns = tuple(
            Column(
                column,
                side._meta.pk.get_for_dialect(dialect, "SQL_TYPE"),
                null=False,
                reference=Reference(side._meta.db_table, field.on_delete.value),
                generated="",
            )
            for column, side in ((field.backward_key, model), (field.forward_key, field.related_model))
        )
        pair = (field.backward_key, field.forward_key)
        indexes = (_index(table, pair, unique=True), _index(table, (field.forward_key,)))
        yield Table(table, f"{model.__name__}.{name}", columns, indexes)


def _indexes(model: type[Any], columns: Sequence[Column], faults: list[str]) -> Iterator[Index]:
    table = model._meta.db_table
    for column in columns:
        if not column.field.pk and (column.field.unique or column.field.index):
            yield _index(table, (column.name,), unique=column.field.unique)
    for names in model._meta.unique_together:
        yield _index(table, _column_names(model, names, faults), unique=True)
    for index in dict.fromkeys(model._meta.indexes):
        if isinstance(index, TortoiseIndex):
            index.resolve_expressions(model)
            names = index.field_names if index.expressions else _column_names(model, index.field_names, faults)
            yield _index(table, names, name=index.name, kind=index.INDEX_TYPE, condition=index.extra)
        else:
            yield _index(table, _column_names(model, index, faults))


def _column_names(model: type[Any], names: Sequence[str], faults: list[str]) -> tuple[str, ...]:
    known = model._meta.fields_map
    for name in names:
        if name not in known:
            faults.append(
                f"{model.__name__}: an index names the field {name}, which is not there.{did_you_mean(name, known)}"
            )
    return tuple(known[name].source_field or name for name in names if name in known)


def _index(
    table: str,
    columns: Sequence[str],
    *,
    unique: bool = False,
    name: str | None = None,
    kind: str = "",
    condition: str = "",
) -> Index:
    digest = sha256(";".join((table, *columns, kind, condition)).encode()).hexdigest()[:8]
    name = name or f"{_PREFIXES[unique]}{table[:40]}_{digest}"
    listed = ", ".join(column if column.startswith("(") else f'"{column}"' for column in columns)
    using = f"USING {kind} " if kind else ""
    sql = f'CREATE {"UNIQUE " if unique else ""}INDEX "{name}" ON "{table}" {using}({listed}){condition}'
    what = "unique index" if unique else "index"
    return Index(name, sql, f"create {what} on {table} ({', '.join(columns)}){condition}")
