"""Tortoise's PostgreSQL client with transactions that give back what they took when their `BEGIN` fails.

Stock Tortoise keeps the pool's connection and leaves the task with a dead transaction that every later query joins.
Connections go back to the pool as they are: nothing here keeps a session's state, and a reset is one more round trip.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg
from tortoise.backends.asyncpg.client import AsyncpgDBClient, TransactionWrapper
from tortoise.backends.base.client import TransactionalDBClient, TransactionContext, TransactionContextPooled
from tortoise.backends.base_postgres.client import translate_exceptions
from tortoise.connection import get_connections

from core.orm.statement import Statement


class ReturningTransactionContext(TransactionContextPooled):
    """Begin first, and only then become the connection that the task sees."""

    async def __aenter__(self) -> TransactionalDBClient:
        await self.ensure_connection()
        pool = self.client._parent._pool
        self.client._connection = await pool.acquire()
        try:
            await self.client.begin()
        except BaseException:
            await pool.release(self.client._connection)
            raise
        self.token = get_connections().set(self.connection_name, self.client)
        return self.client


class PostgresClient(AsyncpgDBClient):
    """The client named by `client_class`; Tortoise finds it by this module's name."""

    def _in_transaction(self) -> TransactionContext:
        return ReturningTransactionContext(PostgresTransaction(self), self._pool_init_lock)

    async def create_pool(self, **options: Any) -> asyncpg.Pool[Any]:
        return await asyncpg.create_pool(None, reset=_keep, **options)

    @translate_exceptions
    async def batch(self, statements: Sequence[Statement]) -> list[list[dict[str, Any]]]:
        """Run statements in a transaction of their own, which a single one is by itself."""
        async with self.acquire_connection() as connection:
            if len(statements) == 1:
                return [await _run(connection, statements[0])]
            async with connection.transaction():
                return [await _run(connection, statement) for statement in statements]


class PostgresTransaction(TransactionWrapper):
    """One open transaction, on a connection of its own."""

    @translate_exceptions
    async def batch(self, statements: Sequence[Statement]) -> list[list[dict[str, Any]]]:
        """Run statements; where one fails, the transaction can only be rolled back, or its innermost savepoint."""
        async with self.acquire_connection() as connection:
            return [await _run(connection, statement) for statement in statements]


async def _run(connection: Any, statement: Statement) -> list[dict[str, Any]]:
    if statement.rows is None:
        return list(map(dict, await connection.fetch(statement.sql, *statement.params)))
    await connection.executemany(statement.sql, statement.rows)
    return []


async def _keep(connection: Any) -> None:
    """Reset nothing."""


client_class = PostgresClient
