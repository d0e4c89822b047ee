"""The few places where SQLite and PostgreSQL are written differently.

Due times and leases are compared by the database's clock, so that hosts whose clocks differ agree on who holds what.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Protocol


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

    def last_id(self, table: str) -> str:
        """Return an expression for the id of the row that this very transaction inserted last."""
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

    def last_id(self, table: str) -> str:
        return f"(SELECT MAX(id) FROM {table})"  # Nobody else writes meanwhile.

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

    def last_id(self, table: str) -> str:
        return f"currval(pg_get_serial_sequence('{table}', 'id'))"

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
