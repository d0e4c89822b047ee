"""Tortoise's SQLite client with write transactions that take their lock at once.

A deferred `BEGIN` lets two processes read and then makes one of them fail at its first write, whatever the busy
time-out says. `BEGIN IMMEDIATE` queues them instead. A `BEGIN` that fails here also gives back the lock and the
context token that it took.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from tortoise.backends.base.client import ConnectionWrapper, TransactionalDBClient, TransactionContext
from tortoise.backends.sqlite.client import SqliteClient, SqliteTransactionContext, SqliteTransactionWrapper
from tortoise.connection import get_connections
from tortoise.exceptions import IntegrityError, OperationalError, TransactionManagementError

from core.orm.statement import Statement


class ImmediateTransactionContext(SqliteTransactionContext):
    """Begin with the write lock; leave nothing taken when that fails."""

    async def __aenter__(self) -> TransactionalDBClient:
        await self._trxlock.acquire()
        try:
            await self.ensure_connection()
            self.token = get_connections().set(self.connection_name, self.connection)
            try:
                await self.connection.begin()
            except BaseException:
                # The thread carries out even a BEGIN that was cancelled here; the ROLLBACK queues behind it.
                try:
                    await self.connection._connection.rollback()
                finally:
                    get_connections().reset(self.token)
                raise
        except BaseException:
            self._trxlock.release()
            raise
        client: TransactionalDBClient = self.connection
        return client


class ImmediateTransactionWrapper(SqliteTransactionWrapper):
    """One open transaction on the process's only connection."""

    async def begin(self) -> None:
        try:
            await self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise TransactionManagementError(error) from error


class ImmediateSqliteClient(SqliteClient):
    """The client named by `client_class`; Tortoise finds it by this module's name."""

    def _in_transaction(self) -> TransactionContext:
        return ImmediateTransactionContext(ImmediateTransactionWrapper(self), self._lock)

    def acquire_connection(self) -> ConnectionWrapper[Any]:
        return ConnectionWrapper(self._lock, self)

    async def execute_many(self, query: str, values: list[list[Any]]) -> None:
        try:
            async with self._in_transaction() as transaction:
                await transaction.execute_many(query, values)
        except sqlite3.OperationalError as error:
            raise OperationalError(error) from error
        except sqlite3.IntegrityError as error:
            raise IntegrityError(error) from error

    async def batch(self, statements: Sequence[Statement]) -> list[list[dict[str, Any]]]:
        """Run statements in a transaction of their own, in one step of the connection's thread."""
        try:
            async with self.acquire_connection() as connection:
                done: list[list[dict[str, Any]]] = await connection._execute(_run, connection._conn, statements)
                return done
        except sqlite3.OperationalError as error:
            raise OperationalError(error) from error
        except sqlite3.IntegrityError as error:
            raise IntegrityError(error) from error


def _run(connection: sqlite3.Connection, statements: Sequence[Statement]) -> list[list[dict[str, Any]]]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        done = []
        for one in statements:
            if one.rows is None:
                done.append(list(map(dict, connection.execute(one.sql, one.params).fetchall())))
            else:
                connection.executemany(one.sql, one.rows)
                done.append([])
        connection.execute("COMMIT")
        return done
    except BaseException:
        connection.rollback()
        raise


client_class = ImmediateSqliteClient
