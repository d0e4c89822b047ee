"""Tortoise's SQLite client with write transactions that take their lock at once.

A deferred `BEGIN` lets two processes read and then makes one of them fail at its first write, whatever the busy
time-out says. `BEGIN IMMEDIATE` queues them instead. A `BEGIN` that fails here also gives back the lock and the
context token that it took. Batches of statements go to the connection's thread in one step, and share their commits.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, TypeVar

from tortoise.backends.base.client import (
    ConnectionWrapper,
    NestedTransactionContext,
    TransactionalDBClient,
    TransactionContext,
)
from tortoise.backends.sqlite.client import SqliteClient, SqliteTransactionContext, SqliteTransactionWrapper
from tortoise.connection import get_connections
from tortoise.exceptions import IntegrityError, OperationalError, TransactionManagementError

from core.orm.statement import Statement

_T = TypeVar("_T")
_BUSY_RETRY_S = 0.01


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


@dataclass(eq=False, slots=True)
class _Batch:
    """Statements that go together, and what became of them: the rows of each, or an error."""

    statements: Sequence[Statement]
    outcome: list[list[dict[str, Any]]] | BaseException | None = None
    is_over: bool = False
    """Whether nothing can change the outcome any more."""

    def run(self, connection: sqlite3.Connection) -> None:
        """Run as all there is in a transaction, which a fault undoes."""
        self.outcome = [_run(connection, statement) for statement in self.statements]

    def run_in_savepoint(self, connection: sqlite3.Connection) -> None:
        """Run so that a fault leaves what others did; where it undid all, there is no transaction.

        A savepoint costs a copy of each page that is written, for those who go back to it.
        """
        connection.execute("SAVEPOINT batch")
        try:
            self.run(connection)
        except BaseException as error:
            self.outcome = error
            if not connection.in_transaction:
                return
            connection.execute("ROLLBACK TO batch")
        connection.execute("RELEASE batch")

    def result(self) -> list[list[dict[str, Any]]]:
        """Return the rows, or raise the error as the ORM's users know it."""
        match self.outcome:
            case sqlite3.OperationalError() as error:
                raise OperationalError(error) from error
            case sqlite3.IntegrityError() as error:
                raise IntegrityError(error) from error
            case BaseException() as error:
                raise error
            case list() as rows:
                return rows
        raise RuntimeError("the batch was not run")


class _ByName(SqliteClient):
    """Gives rows by name without asking each row for each of its columns."""

    async def execute_query_dict(self, query: str, values: list[Any] | None = None) -> list[dict[str, Any]]:
        _, rows = await self.execute_query(query, values)
        names = [*rows[0].keys()] if rows else []
        return [dict(zip(names, row, strict=True)) for row in rows]


class ImmediateTransactionWrapper(_ByName, SqliteTransactionWrapper):
    """One open transaction on the process's only connection."""

    async def begin(self) -> None:
        try:
            await self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise TransactionManagementError(error) from error

    def _in_transaction(self) -> TransactionContext:
        return NestedTransactionContext(ImmediateTransactionWrapper(self))

    async def savepoint_rollback(self) -> None:
        """Go back to the savepoint. A full disk, for one, undoes all, and what was wrong must stay the one told."""
        if self._connection.in_transaction:
            await super().savepoint_rollback()

    async def batch(self, statements: Sequence[Statement]) -> list[list[dict[str, Any]]]:
        """Run statements, all or none, in one step of the connection's thread."""
        batch = _Batch(statements)
        async with self.acquire_connection() as connection:
            await connection._execute(batch.run_in_savepoint, connection._conn)
        return batch.result()

    async def step(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Do work with the connection itself, as one step of its thread."""
        async with self.acquire_connection() as connection:
            done: _T = await connection._execute(work, connection._conn)
        return done


class ImmediateSqliteClient(_ByName):
    """The client named by `client_class`; Tortoise finds it by this module's name."""

    def __init__(self, file_path: str, **options: Any) -> None:
        super().__init__(file_path, **options)
        self._waiting: list[_Batch] = []

    async def create_connection(self, with_db: bool) -> None:
        """Connect. Turning a new file to WAL is refused at once while somebody else does it, so that is tried again."""
        until = monotonic() + self.pragmas.get("busy_timeout", 0) / 1000
        while True:
            try:
                await super().create_connection(with_db)
                return
            except sqlite3.OperationalError as error:
                # A connection that is only half set up must not be taken for one.
                await self.close()
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or monotonic() > until:
                    raise
            await asyncio.sleep(_BUSY_RETRY_S)

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
        """Run statements in a transaction of their own, in one step of the connection's thread.

        Batches that wait for the connection together share that step and its commit. Each is told once the commit is
        durable, and a fault of one undoes only its own.
        """
        batch = _Batch(statements)
        self._waiting.append(batch)
        try:
            async with self.acquire_connection() as connection:
                if batch in self._waiting:
                    together, self._waiting = self._waiting, []
                    await connection._execute(_commit, connection._conn, together)
                elif not batch.is_over:
                    # Whoever took it along was cancelled; the thread comes to this when it has done the step.
                    await connection._execute(bool)
        finally:
            if batch in self._waiting:
                self._waiting.remove(batch)
        return batch.result()

    async def step(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Do work with the connection itself, as one step of its thread."""
        async with self.acquire_connection() as connection:
            done: _T = await connection._execute(work, connection._conn)
        return done


def _commit(connection: sqlite3.Connection, batches: Sequence[_Batch]) -> None:
    """Run batches in one transaction; where it cannot be committed, all of them have failed."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        if len(batches) == 1:
            batches[0].run(connection)
        else:
            _share(connection, batches)
        connection.execute("COMMIT")
    except BaseException as error:
        for batch in batches:
            batch.outcome = error
        connection.rollback()
    finally:
        for batch in batches:
            batch.is_over = True


def _share(connection: sqlite3.Connection, batches: Sequence[_Batch]) -> None:
    for batch in batches:
        batch.run_in_savepoint(connection)
        if not connection.in_transaction:
            batch.result()


def _run(connection: sqlite3.Connection, statement: Statement) -> list[dict[str, Any]]:
    if statement.rows is None:
        cursor = connection.execute(statement.sql, statement.params)
        names = [column[0] for column in cursor.description or ()]
        # By its own names each row would be searched for every column.
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    connection.executemany(statement.sql, statement.rows)
    return []


client_class = ImmediateSqliteClient
