"""The open database of one host.

Two hosts in one process do not see each other: each has a connection name of its own, since Tortoise keeps INSERT
texts per name for the whole process.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import uuid4

from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.backends.base.config_generator import expand_db_url
from tortoise.context import TortoiseContext
from tortoise.exceptions import BaseORMException

from core.errors import ConfigError, TemporaryFailure
from core.orm.dialect import Dialect, Postgres, Sqlite
from core.orm.registry import Registry
from core.orm.statement import Statement

_SQLITE_PRAGMAS = {
    "busy_timeout": 30_000,
    "synchronous": "FULL",
    # A log cut after each checkpoint, at Tortoise's 16 kB, must grow again at each commit, which doubles the work.
    "journal_size_limit": 16_777_216,
    # KiB, where SQLite's own 2,000 do not hold what is written in one batch of mails.
    "cache_size": -16_000,
}


class Database:
    """A database that is open for one registry's models, in the task that opened it and the tasks it starts."""

    def __init__(self, url: str, registry: Registry):
        self.url = url
        self.registry = registry
        self.dialect: Dialect = Sqlite() if url.startswith("sqlite:") else Postgres()
        self._context: TortoiseContext | None = None
        self._connection_name = f"postroom_{uuid4().hex}"

    async def __aenter__(self) -> Self:
        context = TortoiseContext()
        context.__enter__()
        try:
            await context.init(
                config={
                    "connections": {self._connection_name: self._connection()},
                    "apps": {
                        "models": {
                            "models": [self.registry.module_name],
                            "default_connection": self._connection_name,
                        }
                    },
                    "use_tz": True,
                    "timezone": "UTC",
                }
            )
            self._context = context
            await self.fetch("SELECT 1")
        except (OSError, sqlite3.Error, BaseORMException) as error:
            await context.close_connections()
            context.__exit__(None, None, None)
            raise TemporaryFailure(f"The database {self.shown_url} cannot be opened: {error}") from error
        except BaseException:
            await context.close_connections()
            context.__exit__(None, None, None)
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._context is not None:
            await self._context.close_connections()
            self._context.__exit__(None, None, None)
            self._context = None

    @property
    def shown_url(self) -> str:
        """The address without its password."""
        parts = urlsplit(self.url)
        return self.url.replace(f":{parts.password}@", ":***@") if parts.password else self.url

    @property
    def client(self) -> BaseDBAsyncClient:
        """The running transaction's connection, or the pool."""
        if self._context is None:
            raise RuntimeError("the database is not open")
        return self._context.db(self._connection_name)

    async def fetch(self, sql: str, params: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Run one statement and return its rows; also an UPDATE or DELETE with RETURNING."""
        return await self.client.execute_query_dict(sql, list(params))

    async def execute(self, sql: str, params: Sequence[Any] = ()) -> int:
        """Run one statement and return how many rows it touched."""
        count, _ = await self.client.execute_query(sql, list(params))
        return count

    async def execute_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run one statement for many rows of parameters, in one transaction."""
        if rows:
            await self.client.execute_many(sql, [list(row) for row in rows])

    async def batch(self, statements: Sequence[Statement]) -> list[list[dict[str, Any]]]:
        """Run statements, all or none, in the running transaction or in one of their own; return the rows of each.

        On SQLite a batch is one step of the connection's thread, and so much cheaper than its parts.
        """
        client: Any = self.client
        done: list[list[dict[str, Any]]] = await client.batch(statements)
        return done

    async def script(self, sql: str) -> None:
        """Run statements without parameters, such as those of a schema."""
        await self.client.execute_script(sql)

    def _connection(self) -> dict[str, Any]:
        scheme = urlsplit(self.url).scheme
        if scheme == "sqlite":
            path = self.url.removeprefix("sqlite://")
            if path != ":memory:":
                Path(path).expanduser().parent.mkdir(parents=True, exist_ok=True)
            return {"engine": "core.orm.sqlite", "credentials": {"file_path": path, **_SQLITE_PRAGMAS}}
        if scheme in ("postgres", "postgresql", "asyncpg"):
            expanded = expand_db_url(self.url.replace(f"{scheme}://", "asyncpg://", 1))
            expanded["credentials"].setdefault("minsize", 1)
            expanded["credentials"].setdefault("maxsize", 10)
            return {**expanded, "engine": "core.orm.postgres"}
        raise ConfigError(
            f'DATABASE_URL: "{scheme}" is no database Postroom knows; use sqlite://path or postgres://user@host/name'
        )
