"""The yardstick of queueing: the very rows that it stored, put in once more by the database's own driver alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from tests.benchmarks.measure import Watch, watch

_TABLES = ("message", "delivery")


@dataclass(frozen=True, slots=True)
class _Table:
    """Some rows of a table, without their ids and what is null in all of them."""

    name: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]

    def insert(self, places: Sequence[str]) -> str:
        return f"INSERT INTO {self.name} ({', '.join(self.columns)}) VALUES ({', '.join(places)})"


def _table(name: str, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> _Table:
    kept = [at for at, column in enumerate(names) if column != "id" and any(row[at] is not None for row in rows)]
    return _Table(name, tuple(names[at] for at in kept), [tuple(row[at] for at in kept) for row in rows])


async def raw_rows(url: str, count: int, singly: int) -> tuple[Watch, Watch]:
    """Insert the last `count` messages and their deliveries once more in one transaction, then some a commit each."""
    if url.startswith("sqlite:"):
        return _sqlite(url.removeprefix("sqlite://"), count, singly)
    return await _postgres(url, count, singly)


def _sqlite(path: str, count: int, singly: int) -> tuple[Watch, Watch]:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    tables = []
    for name in _TABLES:
        read = connection.execute(f"SELECT * FROM {name} ORDER BY id DESC LIMIT {count}")
        tables.append(_table(name, [column[0] for column in read.description], read.fetchall()))
    inserts = [(one.insert("?" * len(one.columns)), one.rows) for one in tables]
    with watch() as together:
        connection.execute("BEGIN IMMEDIATE")
        for sql, rows in inserts:
            connection.executemany(sql, rows)
        connection.execute("COMMIT")
    with watch() as each:
        for number in range(singly):
            connection.execute("BEGIN IMMEDIATE")
            for sql, rows in inserts:
                connection.execute(sql, rows[number])
            connection.execute("COMMIT")
    connection.close()
    return together, each


async def _postgres(url: str, count: int, singly: int) -> tuple[Watch, Watch]:
    connection = await asyncpg.connect(url)
    tables = []
    for name in _TABLES:
        read = await connection.fetch(f"SELECT * FROM {name} ORDER BY id DESC LIMIT {count}")
        tables.append(_table(name, list(read[0].keys()), [tuple(row.values()) for row in read]))
    with watch() as together:
        async with connection.transaction():
            for one in tables:
                await connection.copy_records_to_table(one.name, columns=one.columns, records=one.rows)
    inserts = [(one.insert([f"${at}" for at in range(1, len(one.columns) + 1)]), one.rows) for one in tables]
    with watch() as each:
        for number in range(singly):
            async with connection.transaction():
                for sql, rows in inserts:
                    await connection.execute(sql, *rows[number])
    await connection.close()
    return together, each
