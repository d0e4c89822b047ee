"""Encrypting every stored secret again, after a new key was put in front of SECRET_KEY.

Works on what is stored, row by row, with no model's own code; a value that changed meanwhile is left to its writer, who
used the new key. It never shows a secret, and never drops one that it cannot read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cryptography.fernet import InvalidToken

from core.orm.database import Database
from core.orm.fields import SecretField, secret_cipher

_ROWS = 500


@dataclass(frozen=True, slots=True)
class Rotation:
    """How many secrets were encrypted again, and where those stand that no key of ours reads: `Model 7, password`."""

    count: int
    unreadable: tuple[str, ...]


async def rotate_secrets(database: Database) -> Rotation:
    """Encrypt the secrets of all models with the first key; each row by itself, so it may be stopped and repeated."""
    count = 0
    unreadable: list[str] = []
    for model, columns in _secret_columns(database):
        last_id = 0
        while rows := await model.filter(id__gt=last_id).order_by("id").limit(_ROWS).values_list("id", flat=True):
            for record_id in rows:
                for column in columns:
                    place = f"{model.__name__} {record_id}, {column}"
                    outcome = await _rotate(database, model._meta.db_table, record_id, column)
                    count += outcome is True
                    unreadable += [place] if outcome is False else []
            last_id = rows[-1]
    return Rotation(count, tuple(unreadable))


def _secret_columns(database: Database) -> Iterator[tuple[Any, list[str]]]:
    for entry in database.registry:
        model: Any = entry.model
        columns = [name for name, column in model._meta.fields_map.items() if isinstance(column, SecretField)]
        if columns:
            yield model, columns


async def _rotate(database: Database, table: str, record_id: int, column: str) -> bool | None:
    """Return whether the value was encrypted again; None where there is none, False where no key reads it."""
    param = database.dialect.param
    where = f"WHERE id = {param(1)}"
    (row,) = await database.fetch(f'SELECT "{column}" AS stored FROM "{table}" {where}', [record_id]) or [{}]
    stored = row.get("stored")
    if not stored:
        return None
    try:
        fresh = secret_cipher.get().rotate(stored).decode()
    except InvalidToken:
        return False
    unchanged = f'AND "{column}" = {param(3)}'
    changed = await database.execute(
        f'UPDATE "{table}" SET "{column}" = {param(2)} {where} {unchanged}', [record_id, fresh, stored]
    )
    return True if changed else None
