"""The values of a stored record in the form in which seeds are compared and remembered: JSON, and hashes of secrets
and files.

A to-one field is its target's id, a to-many field the sorted ids.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from tortoise.fields.relational import ForeignKeyFieldInstance, ManyToManyFieldInstance

from core.orm.fields import SecretField


def plain(column: Any, value: Any, salt: str) -> Any:
    """Return a field's value as JSON can hold it; of a file only a hash, of a secret one made with `salt`."""
    if value is not None and isinstance(column, SecretField):
        return "scrypt:" + hashlib.scrypt(str(value).encode(), salt=salt.encode(), n=2**14, r=8, p=1).hex()
    if isinstance(value, bytes):
        return "sha256:" + hashlib.sha256(value).hexdigest()
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return value.isoformat() if isinstance(value, date) else json.loads(json.dumps(value))


async def current(stored: Any, name: str, salt: str) -> Any:
    """Return what a record holds in a field."""
    column = stored._meta.fields_map[name]
    if isinstance(column, ManyToManyFieldInstance):
        return sorted(await getattr(stored, name).all().values_list("id", flat=True))
    return plain(column, getattr(stored, attribute(column, name)), salt)


def untouched(column: Any, salt: str) -> Any:
    """Return what a field holds that nobody set."""
    if isinstance(column, ManyToManyFieldInstance):
        return []
    return plain(column, column.default() if callable(column.default) else column.default, salt)


def attribute(column: Any, name: str) -> str:
    """Return the attribute that a field's column is kept in: `company_id` for `company`."""
    return str(column.source_field) if isinstance(column, ForeignKeyFieldInstance) else name


async def assign(record: Any, values: Mapping[str, Any]) -> None:
    """Set a record's fields, to-one and to-many ones by ids, and store it: all of a new one, else only these."""
    meta = record._meta
    columns = {
        attribute(meta.fields_map[name], name): value for name, value in values.items() if name not in meta.m2m_fields
    }
    is_new = record.pk is None
    record.update_from_dict(columns)
    if is_new:
        await record.save()
    elif columns:
        await record.save(update_fields=list(columns))
    for name in meta.m2m_fields & values.keys():
        relation = getattr(record, name)
        await relation.clear()
        targets = await relation.remote_model.filter(id__in=values[name])
        if targets:
            await relation.add(*targets)
