"""The few places where SQLite and PostgreSQL are written differently.

Due times and leases are compared by the database's clock, so that hosts whose clocks differ agree on who holds what.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from itertools import chain
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

    def over(self, sql: str, types: Mapping[str, str], rows: Sequence[tuple[Any, ...]]) -> list[Statement]:
        """Return what runs `sql` over rows: it selects from `{rows}`, which are called `given`.

        `types` are PostgreSQL's, by the columns of a row.
        """
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

    def day_of(self, unit: str, column: str, *, is_time: bool) -> str:
        """Return an expression for the first day, in UTC, of the `day`, `week`, `month` or `year` of a column.

        It is text such as 2026-11-01; weeks begin on Monday (ISO 8601). `is_time` tells a time from a date.
        """
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
        # What is shared is bound once, and comes out of a SELECT for each row.
        shared = list(rows.shared.values())
        places = ", ".join([f"given.{name}" for name in _quoted(rows.own)] + ["?"] * len(shared))
        into = ", ".join(_quoted([*rows.own, *rows.shared]))
        sql = f'INSERT INTO "{rows.table}" ({into}) SELECT {places} FROM {{rows}}'
        statements = self._over(sql, rows.own, list(zip(*rows.own.values(), strict=True)), shared)
        last_id = f'(SELECT MAX("{rows.key}") FROM "{rows.table}")'
        if children is not None:
            # Nobody else writes meanwhile, so the ids are the last ones, without a gap.
            sql = children.sql.replace("{parent}", f"{last_id} + given.place")
            first = 1 - len(children.of_each)
            statements += self._over(sql, ["place", *children.types], children.placed(first))
        return [*statements, Statement(f"SELECT {last_id} AS id")]

    def inserted_ids(self, returned: Sequence[Mapping[str, Any]], count: int) -> Sequence[int]:
        last = returned[0]["id"]
        return range(last - count + 1, last + 1)

    def over(self, sql: str, types: Mapping[str, str], rows: Sequence[tuple[Any, ...]]) -> list[Statement]:
        return self._over(sql, types, rows)

    def _over(
        self, sql: str, names: Iterable[str], rows: Sequence[tuple[Any, ...]], params: Sequence[Any] = ()
    ) -> list[Statement]:
        """One statement for many rows takes half as long as many runs of a statement."""
        names = _quoted(names)
        columns = ", ".join(f"column{at} AS {name}" for at, name in enumerate(names, 1))
        one = f"({', '.join('?' * len(names))})"
        at_once = _MOST_PARAMETERS // len(names)
        statements = []
        for start in range(0, len(rows), at_once):
            part = rows[start : start + at_once]
            source = f"(SELECT {columns} FROM (VALUES {', '.join([one] * len(part))})) AS given"
            statements.append(Statement(sql.replace("{rows}", source), [*params, *chain.from_iterable(part)]))
        return statements

    def among(self, column: str, param: str) -> str:
        return f"{column} IN (SELECT value FROM json_each({param}))"

    def ids(self, ids: Sequence[int]) -> Any:
        return f"[{','.join(map(str, ids))}]"

    def among_texts(self, column: str, param: str) -> str:
        return self.among(column, param)

    def texts(self, texts: Sequence[str]) -> Any:
        return json.dumps(list(texts))

    def day_of(self, unit: str, column: str, *, is_time: bool) -> str:
        if unit == "week":
            return f"date({column}, 'weekday 0', '-6 days')"
        shape = {"day": "%Y-%m-%d", "month": "%Y-%m-01", "year": "%Y-01-01"}[unit]
        return f"strftime('{shape}', {column})"

    def time(self, at: datetime) -> Any:
        return str(at.astimezone(UTC))

    def read_time(self, value: Any) -> datetime | None:
        return None if value is None else _time_of(value)


@lru_cache(maxsize=256)
def _time_of(text: str) -> datetime:
    """What was queued together has one time."""
    return datetime.fromisoformat(text).astimezone(UTC)


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
        placed = [] if children is None else children.placed(1)
        if children is not None and placed:
            source = f"ids, {_unnested({'place': 'int', **children.types}, len(params) + 1)}"
            hung = children.sql.replace("{parent}", "ids._ids[given.place]").replace("{rows}", source)
            hung = f", hung AS ({hung})"
            params += zip(*placed, strict=True)
        own, shared = (tuple((name, rows.types[name]) for name in names) for names in (rows.own, rows.shared))
        sql = f"WITH {_numbered_insert_sql(rows.table, rows.key, own, shared)}{hung} SELECT _ids FROM ids"
        return [Statement(sql, params)]

    def inserted_ids(self, returned: Sequence[Mapping[str, Any]], count: int) -> Sequence[int]:
        ids: Sequence[int] = returned[0]["_ids"]
        return ids

    def over(self, sql: str, types: Mapping[str, str], rows: Sequence[tuple[Any, ...]]) -> list[Statement]:
        return [Statement(sql.replace("{rows}", _unnested(types, 1)), list(zip(*rows, strict=True)))] if rows else []

    def among(self, column: str, param: str) -> str:
        return f"{column} = ANY({param}::bigint[])"

    def ids(self, ids: Sequence[int]) -> Any:
        return list(ids)

    def among_texts(self, column: str, param: str) -> str:
        return f"{column} = ANY({param}::text[])"

    def texts(self, texts: Sequence[str]) -> Any:
        return list(texts)

    def day_of(self, unit: str, column: str, *, is_time: bool) -> str:
        at = f"{column} AT TIME ZONE 'UTC'" if is_time else f"{column}::timestamp"
        return f"to_char(date_trunc('{unit}', {at}), 'YYYY-MM-DD')"

    def time(self, at: datetime) -> Any:
        return at

    def read_time(self, value: Any) -> datetime | None:
        return None if value is None else value.astimezone(UTC)


_MOST_PARAMETERS = 32_000
"""SQLite takes 32,766 in one statement."""


def _unnested(types: Mapping[str, str], first: int) -> str:
    arrays = ", ".join(f"${at}::{kind}[]" for at, kind in enumerate(types.values(), first))
    return f"unnest({arrays}) AS given ({', '.join(types)})"


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
            FROM unnest({arrays}) WITH ORDINALITY AS own ({", ".join(_quoted([*of_own, "_place"]))})),
        stored AS (
            INSERT INTO "{table}" ({", ".join(_quoted([key, *of_own, *of_shared]))})
            SELECT _id, {", ".join([*_quoted(of_own), *singles])} FROM fresh),
        ids AS MATERIALIZED (SELECT array_agg(_id ORDER BY _place) AS _ids FROM fresh)"""


def _quoted(names: Iterable[str]) -> list[str]:
    return [f'"{name}"' for name in names]
