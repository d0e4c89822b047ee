"""One statement of a schema change with the words that tell a person what it does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tortoise.exceptions import BaseORMException

from core.errors import SchemaError
from core.orm.catalog import LiveTable
from core.orm.database import Database


@dataclass(frozen=True, slots=True)
class Step:
    """A statement; several steps in a row may share their words when only all of them make sense."""

    sql: str
    words: str
    params: tuple[Any, ...] = ()


async def take(database: Database, steps: Iterable[Step]) -> None:
    """Run steps in order; raise SchemaError naming the one that the database refused."""
    for step in steps:
        try:
            await database.execute(step.sql, step.params)
        except BaseORMException as error:
            raise SchemaError(
                "The database refused a change, and nothing was done:", [f"{step.words}: {error}"]
            ) from error


def drop_column(table: str, column: str, live: LiveTable, words: str = "") -> Iterator[Step]:
    """Drop a column and, before it, the indexes that name it, which SQLite does not do by itself."""
    words = words or f"drop column {table}.{column}"
    yield from drop_indexes(live.indexes_on(column), words)
    yield Step(f'ALTER TABLE "{table}" DROP COLUMN "{column}"', words)


def drop_indexes(names: Iterable[str], words: str) -> Iterator[Step]:
    """Drop indexes; those that models want come back, named anew, with the additive part of an update."""
    for name in names:
        yield Step(f'DROP INDEX "{name}"', words)
