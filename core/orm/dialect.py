"""The few places where SQLite and PostgreSQL are written differently.

Due times and leases are compared by the database's clock, so that hosts whose clocks differ agree on who holds what.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from itertools import repeat
from typing import Any, Protocol

from core.orm.statement import Statement


@dataclass(frozen=True, slots=True)
class Rows:
    """New rows of a table: the values that they share, and those of their own, by column.

    `key` is the column of the id; `types` are PostgreSQL's, by column. At least one column is of their own.
    """

    table: str
    key: str
    shared: Mapping[str, Any]
    own: Mapping[str, Sequence[Any]]
    types: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Children:
    """Rows of another table that go in with their parents.

    `sql` is an INSERT from a SELECT, in which `{parent}` stands for the id of a row's parent and `{rows}` for where the
    rows come from, as `given`. `types` are PostgreSQL's, by the columns of a row; `of_each` has the rows by parent.
    """

    sql: str
    types: Mapping[str, str]
    of_each: Sequence[Sequence[tuple[Any, ...]]]

    def part(self, part: slice) -> Children:
        return replace(self, of_each=self.of_each[part])

    def placed(self, first: int) -> list[tuple[Any, ...]]:
        """Return the rows, each behind the place of its parent, counted from `first`."""
        return [(place, *row) for place, rows in enumerate(self.of_each, first) for row in rows]


class Dialect(Protocol):
    """How one database writes what the queue, cron and spool need in raw SQL."""

    name: str
    skip_locked: str
    nests_writes: bool
    """Whether one statement may hold several that write."""

    def param(self, index: int) -> str:
        """Return the placeholder of the parameter number `index`, from 1."""
        ...

    def now(self, plus_s: float = 0) -> str:
        """Return an expression for the database's clock, moved by some seconds."""
        ...

    def after(self, param: str) -> str:
        """Return an expression for the database's clock, moved by a parameter of seconds."""
        ...

    def epoch(self) -> str:
        """Return an expression for the database's clock in seconds since 1970, with their fraction."""
        ...

    def seconds_until(self, column: str) -> str:
        """Return an expression for the seconds from the database's clock to the time in `column`."""
        ...

    def insertion(self, rows: Rows, children: Children | None) -> list[Statement]:
        """Return what inserts rows with their children, in one step; `inserted_ids` reads what the last one returns."""
        ...

    def inserted_ids(self, returned: Sequence[Mapping[str, Any]], count: int) -> Sequence[int]:
        """Return the ids of so many inserted rows, in order."""
        ...

    def rows(self, types: Mapping[str, str], first: int = 1) -> str:
        """Return what parameters are selected from, as `given`; `first` is the number of the first parameter."""
        ...

    def over(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> Statement:
        """Return the statement that runs `sql`, which selects from `rows`, over these."""
        ...

    def among(self, column: str, param: str) -> str:
        """Return a condition: `column` is one of the ids in the parameter made by `ids`."""
        ...

    def ids(self, ids: Sequence[int]) -> Any:
        """Return the one parameter that carries many ids for `among`."""
        ...

    def among_texts(self, column: str, param: str) -> str:
        """Return a condition: `column` is one of the texts in the parameter made by `texts`."""
        ...

    def texts(self, texts: Sequence[str]) -> Any:
        """Return the one parameter that carries many texts for `among_texts`."""
        ...

    def time(self, at: datetime) -> Any:
        """Return an aware time as a parameter."""
        ...

    def read_time(self, value: Any) -> datetime | None:
        """Return a raw column's time, aware, in UTC."""
        ...


class Sqlite:
    """SQLite 3.35 or later: texts for times, JSON for lists."""

    name = "sqlite"
    skip_locked = ""
    nests_writes = False

    def param(self, index: int) -> str:
        return f"?{index}"

    def now(self, plus_s: float = 0) -> str:
        return f"strftime('%Y-%m-%d %H:%M:%f000+00:00', 'now', '{plus_s:+.3f} seconds')"

    def after(self, param: str) -> str:
        return f"strftime('%Y-%m-%d %H:%M:%f000+00:00', 'now', printf('%+.3f seconds', {param}))"

    def epoch(self) -> str:
        return "((julianday('now') - 2440587.5) * 86400.0)"

    def seconds_until(self, column: str) -> str:
        return f"((julianday({column}) - julianday('now')) * 86400.0)"

    def insertion(self, rows: Rows, children: Children | None) -> list[Statement]:
        # Whatever is no text or number is looked up among adapters, for each row anew.
        shared = [repeat(_BOUND.get(type(value), _as_it_is)(value)) for value in rows.shared.values()]
        values = list(zip(*rows.own.values(), *shared))  # noqa: B905 - what is shared has no end
        statements = [Statement(_insert_sql(rows.table, (*rows.own, *rows.shared)), rows=values)]
        last_id = f'(SELECT MAX("{rows.key}") FROM "{rows.table}")'
        if children is not None:
            # Nobody else writes meanwhile, so the ids are the last ones, without a gap.
            source = self.rows({"place": "", **children.types})
            sql = children.sql.format(parent=f"{last_id} + given.place", rows=source)
            statements.append(self.over(sql, children.placed(1 - len(values))))
        return [*statements, Statement(f"SELECT {last_id} AS id")]

    def inserted_ids(self, returned: Sequence[Mapping[str, Any]], count: int) -> Sequence[int]:
        last = returned[0]["id"]
        return range(last - count + 1, last + 1)

    def rows(self, types: Mapping[str, str], first: int = 1) -> str:
        return f"(SELECT {', '.join(f'?{at} AS {name}' for at, name in enumerate(types, first))}) AS given"

    def over(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> Statement:
        return Statement(sql, rows=rows)

    def among(self, column: str, param: str) -> str:
        return f"{column} IN (SELECT value FROM json_each({param}))"

    def ids(self, ids: Sequence[int]) -> Any:
        return json.dumps(list(ids))

    def among_texts(self, column: str, param: str) -> str:
        return self.among(column, param)

    def texts(self, texts: Sequence[str]) -> Any:
        return json.dumps(list(texts))

    def time(self, at: datetime) -> Any:
        return str(at.astimezone(UTC))

    def read_time(self, value: Any) -> datetime | None:
        return None if value is None else datetime.fromisoformat(value).astimezone(UTC)


class Postgres:
    """PostgreSQL 13 or later through asyncpg: real arrays and times."""

    name = "postgres"
    skip_locked = "FOR UPDATE SKIP LOCKED"
    nests_writes = True

    def param(self, index: int) -> str:
        return f"${index}"

    def now(self, plus_s: float = 0) -> str:
        return f"(clock_timestamp() + interval '{plus_s:.3f} seconds')"

    def after(self, param: str) -> str:
        return f"(clock_timestamp() + make_interval(secs => {param}::float8))"

    def epoch(self) -> str:
        return "extract(epoch FROM clock_timestamp())::float8"

    def seconds_until(self, column: str) -> str:
        return f"extract(epoch FROM {column} - clock_timestamp())::float8"

    def insertion(self, rows: Rows, children: Children | None) -> list[Statement]:
        params, hung = [*rows.own.values(), *rows.shared.values()], ""
        if children is not None:
            source = self.rows({"place": "int", **children.types}, len(params) + 1)
            hung = f", hung AS ({children.sql.format(parent='ids._ids[given.place]', rows=f'ids, {source}')})"
            params += self.over("", children.placed(1)).params
        own, shared = (tuple((name, rows.types[name]) for name in names) for names in (rows.own, rows.shared))
        sql = f"WITH {_numbered_insert_sql(rows.table, rows.key, own, shared)}{hung} SELECT _ids FROM ids"
        return [Statement(sql, params)]

    def inserted_ids(self, returned: Sequence[Mapping[str, Any]], count: int) -> Sequence[int]:
        ids: Sequence[int] = returned[0]["_ids"]
        return ids

    def rows(self, types: Mapping[str, str], first: int = 1) -> str:
        arrays = ", ".join(f"${at}::{kind}[]" for at, kind in enumerate(types.values(), first))
        return f"unnest({arrays}) AS given ({', '.join(types)})"

    def over(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> Statement:
        return Statement(sql, list(zip(*rows, strict=True)))

    def among(self, column: str, param: str) -> str:
        return f"{column} = ANY({param}::bigint[])"

    def ids(self, ids: Sequence[int]) -> Any:
        return list(ids)

    def among_texts(self, column: str, param: str) -> str:
        return f"{column} = ANY({param}::text[])"

    def texts(self, texts: Sequence[str]) -> Any:
        return list(texts)

    def time(self, at: datetime) -> Any:
        return at

    def read_time(self, value: Any) -> datetime | None:
        return None if value is None else value.astimezone(UTC)


@lru_cache(maxsize=256)
def _insert_sql(table: str, columns: tuple[str, ...]) -> str:
    return f'INSERT INTO "{table}" ({_listed(columns)}) VALUES ({", ".join("?" * len(columns))})'


@lru_cache(maxsize=256)
def _numbered_insert_sql(
    table: str, key: str, own: tuple[tuple[str, str], ...], shared: tuple[tuple[str, str], ...]
) -> str:
    """Return the parts of a statement that insert rows, with their ids in the part `ids`, in order."""
    arrays = ", ".join(f"${at}::{kind}[]" for at, (_, kind) in enumerate(own, 1))
    singles = [f"${at}::{kind}" for at, (_, kind) in enumerate(shared, len(own) + 1)]
    of_own, of_shared = ([name for name, _ in columns] for columns in (own, shared))
    return f"""
        fresh AS MATERIALIZED (
            SELECT nextval((SELECT pg_get_serial_sequence('{table}', '{key}')::regclass)) AS _id, own.*
            FROM unnest({arrays}) WITH ORDINALITY AS own ({_listed([*of_own, "_place"])})),
        stored AS (
            INSERT INTO "{table}" ({_listed([key, *of_own, *of_shared])})
            SELECT _id, {", ".join([_listed(of_own), *singles])} FROM fresh),
        ids AS MATERIALIZED (SELECT array_agg(_id ORDER BY _place) AS _ids FROM fresh)"""


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _as_it_is(value: Any) -> Any:
    return value


_BOUND: Mapping[type, Callable[[Any], Any]] = {bool: int, datetime: str}
"""What SQLite stores of a truth value and of a time."""
