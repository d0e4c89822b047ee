"""What is in a database: its tables, their columns, indexes and foreign keys, as plain values.

Read only. `core.orm.schema` compares it with what the models want.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.orm.database import Database


@dataclass(frozen=True, slots=True)
class Reference:
    """What a foreign key points at: the `id` of `table`; `on_delete` is SQL (`SET NULL`)."""

    table: str
    on_delete: str


@dataclass(frozen=True, slots=True)
class LiveColumn:
    """A column as it is; `constraint` is the name of its foreign key, empty on SQLite."""

    type: str
    null: bool
    reference: Reference | None
    constraint: str


@dataclass(frozen=True, slots=True)
class LiveTable:
    """A table as it is; `indexes` maps each index to the SQL that made it."""

    columns: Mapping[str, LiveColumn]
    indexes: Mapping[str, str]

    def indexes_on(self, column: str) -> list[str]:
        """Name the indexes whose columns or condition name `column`."""
        word = re.compile(rf"\b{re.escape(column)}\b")
        return [name for name, sql in self.indexes.items() if word.search(sql.partition("(")[2])]


@dataclass(frozen=True, slots=True)
class _Queries:
    columns: str
    references: str
    indexes: str


_SQLITE = _Queries(
    columns='SELECT t.name AS "table", c.name AS name, c.type AS type, NOT c."notnull" AS "null" '
    "FROM sqlite_master t, pragma_table_info(t.name) c WHERE t.type = 'table' ORDER BY t.name, c.cid",
    references='SELECT t.name AS "table", k."from" AS name, k."table" AS target, k.on_delete AS on_delete, '
    "'' AS \"constraint\" FROM sqlite_master t, pragma_foreign_key_list(t.name) k WHERE t.type = 'table'",
    indexes="SELECT tbl_name AS \"table\", name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL",
)
_POSTGRES = _Queries(
    columns='SELECT t.relname::text AS "table", c.attname::text AS name, NOT c.attnotnull AS "null", '
    "format_type(c.atttypid, c.atttypmod) AS type FROM pg_attribute c JOIN pg_class t ON t.oid = c.attrelid "
    "WHERE t.relnamespace = current_schema()::regnamespace AND t.relkind IN ('r', 'p') "
    "AND c.attnum > 0 AND NOT c.attisdropped ORDER BY t.relname, c.attnum",
    references='SELECT t.relname::text AS "table", c.attname::text AS name, target.relname::text AS target, '
    "k.conname::text AS \"constraint\", CASE k.confdeltype WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' "
    "WHEN 'r' THEN 'RESTRICT' WHEN 'd' THEN 'SET DEFAULT' ELSE 'NO ACTION' END AS on_delete "
    "FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_class target ON target.oid = k.confrelid "
    "JOIN pg_attribute c ON c.attrelid = t.oid AND c.attnum = k.conkey[1] "
    "WHERE k.contype = 'f' AND t.relnamespace = current_schema()::regnamespace",
    indexes='SELECT tablename::text AS "table", indexname::text AS name, indexdef AS sql '
    "FROM pg_indexes WHERE schemaname = current_schema()",
)


async def read_catalog(database: Database) -> dict[str, LiveTable]:
    """Return every table of the database by name."""
    queries = _SQLITE if database.dialect.name == "sqlite" else _POSTGRES
    references = {(row["table"], row["name"]): row for row in await database.fetch(queries.references)}
    columns: dict[str, dict[str, LiveColumn]] = defaultdict(dict)
    for row in await database.fetch(queries.columns):
        columns[row["table"]][row["name"]] = _column(row, references.get((row["table"], row["name"])))
    indexes: dict[str, dict[str, str]] = defaultdict(dict)
    for row in await database.fetch(queries.indexes):
        indexes[row["table"]][row["name"]] = row["sql"]
    return {table: LiveTable(columns[table], indexes[table]) for table in columns}


async def table_exists(database: Database, table: str) -> bool:
    """Whether there is a table of this name."""
    if database.dialect.name == "sqlite":
        return bool(await database.fetch("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1", [table]))
    return bool(await database.fetch("SELECT 1 WHERE to_regclass($1::text) IS NOT NULL", [f'"{table}"']))


def _column(row: Mapping[str, Any], reference: Mapping[str, Any] | None) -> LiveColumn:
    target = Reference(reference["target"], reference["on_delete"]) if reference else None
    return LiveColumn(row["type"], bool(row["null"]), target, reference["constraint"] if reference else "")
