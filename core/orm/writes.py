"""Writes that are one whole, in as few statements as the database takes: one where it nests them, else one for each.

All parts of one statement see the rows as they were before it (PostgreSQL 7.8.4). What a later part needs to know of
an earlier one it reads from that part's RETURNING, by the part's name.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain
from typing import Any

from core.orm.database import Database
from core.orm.dialect import Dialect
from core.orm.statement import Statement

_ROWS_AT_ONCE = 100
"""SQLite takes some 30,000 parameters; row by row it would ask for Python's lock each time."""


class Writes:
    """Collects the parts, each under its name. Values are bound by `param`, for the part that is added next."""

    def __init__(self, dialect: Dialect):
        self.dialect = dialect
        self._params: list[Any] = []
        self._statements: list[Statement] = []
        self._nested: list[str] = []
        self._told: list[str] = []

    def param(self, value: Any) -> str:
        """Return the placeholder of a value."""
        self._params.append(value)
        return self.dialect.param(len(self._params))

    def add(self, name: str, sql: str, tells: str = "") -> None:
        """Add a write; what its RETURNING gives comes back from `run`.

        Of a nested one that is what is selected by `tells`, the same columns for all that tell anything.
        """
        if not self.dialect.nests_writes:
            self._statements.append(Statement(sql, self._params))
            self._params = []
            return
        self._nested.append(f"{name} AS ({sql})")
        if tells:
            self._told.append(f"SELECT {tells} FROM {name}")

    def insert(self, table: str, columns: dict[str, str], rows: Sequence[Sequence[Any]]) -> None:
        """Add the insert of many rows; `columns` are names and their types as PostgreSQL calls them.

        The values are numbers, texts and None; a time is a text.
        """
        into = f"INSERT INTO {table} ({', '.join(columns)})"
        if self.dialect.nests_writes:
            # Of an array for each column, asyncpg asks of each value whether it is one more array.
            typed = ", ".join(f"(value ->> {at})::{kind}" for at, kind in enumerate(columns.values()))
            of_rows = f"jsonb_array_elements({self.param(json.dumps(rows))}::jsonb)"
            self.add(f"into_{table}", f"{into} SELECT {typed} FROM {of_rows}")
            return
        places = f"({', '.join('?' * len(columns))})"
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = rows[start : start + _ROWS_AT_ONCE]
            values = list(chain.from_iterable(part))
            self._statements.append(Statement(f"{into} VALUES {', '.join([places] * len(part))}", values))

    async def run(self, database: Database) -> list[dict[str, Any]]:
        """Write all of it in one transaction, the running one or its own, and return what the parts tell."""
        if self._nested:
            told = " UNION ALL ".join(self._told) or "SELECT 1"
            self._statements = [Statement(f"WITH {', '.join(self._nested)} {told}", self._params)]
        return [row for rows in await database.batch(self._statements) for row in rows]
