"""Inserting many records in one statement, each with the id it got.

Tortoise's `bulk_create` gives none back. No `save` of a model runs, so it is for rows that no addon is asked about one
by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.orm.database import Database

_MOST_PARAMETERS = 2_000
"""Both databases take some 30,000 in one statement, but SQLite looks each place up among all that came before it."""


async def insert_many(database: Database, records: Sequence[Any]) -> None:
    """Store new records, all of one model; each then has its id and counts as saved."""
    if not records:
        return
    meta = records[0]._meta
    fields = {name: column for name, column in meta.fields_db_projection.items() if name != meta.pk_attr}
    at_once = _MOST_PARAMETERS // len(fields)
    for start in range(0, len(records), at_once):
        await _insert(database, meta, fields, records[start : start + at_once])


async def _insert(database: Database, meta: Any, fields: dict[str, str], records: Sequence[Any]) -> None:
    param = database.dialect.param
    numbers = range(1, len(records) * len(fields) + 1, len(fields))
    places = ", ".join(f"({', '.join(param(first + at) for at in range(len(fields)))})" for first in numbers)
    values = [meta.fields_map[name].to_db_value(getattr(one, name), one) for one in records for name in fields]
    columns = ", ".join(f'"{column}"' for column in fields.values())
    rows = await database.fetch(
        f'INSERT INTO "{meta.db_table}" ({columns}) VALUES {places} RETURNING "{meta.db_pk_column}" AS id', values
    )
    # Ids are given out in the order of the rows; in which order they are told, no database promises.
    for one, row_id in zip(records, sorted(row["id"] for row in rows), strict=True):
        one.pk = row_id
        one._saved_in_db = True
