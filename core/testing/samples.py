"""Sample records: the least that a model takes."""

from __future__ import annotations

import secrets
from datetime import date
from decimal import Decimal
from typing import Any

from core import clock
from core.orm import fields
from core.runtime import get_model

_VALUES: tuple[tuple[Any, Any], ...] = (
    (fields.BooleanField, True),
    ((fields.IntField, fields.BigIntField), 1),
    (fields.DecimalField, Decimal(1)),
    (fields.FloatField, 1.0),
    (fields.BinaryField, b"sample"),
    (fields.JSONField, {}),
)


async def minimal_record(model: type[Any]) -> Any:
    """Store and return a record with a value only where the model wants one; what it points at is made likewise."""
    meta = model._meta
    values: dict[str, Any] = {}
    for name, field in meta.fields_map.items():
        if name in meta.fk_fields and not field.null:
            target = get_model(field.model_name.rpartition(".")[2])
            values[name] = await target.all().first() or await minimal_record(target)
        elif name in meta.db_fields and getattr(field, "reference", None) is None and _is_required(field):
            values[name] = _value(field)
    record = model(**values)
    await record.save()
    return record


async def some_record(model: type[Any]) -> Any:
    """Return the model's first record, a demo's where there is one, or a minimal one."""
    return await model.all().order_by("id").first() or await minimal_record(model)


def _is_required(field: Any) -> bool:
    made = field.pk or getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False)
    return not (made or field.null or field.default is not None)


def _value(field: Any) -> Any:
    if isinstance(field, fields.SelectionField):
        return next(iter(field.choices))
    if isinstance(field, fields.CharField | fields.TextField):
        return f"sample-{secrets.token_hex(4)}"[: getattr(field, "max_length", None)]
    if isinstance(field, fields.DatetimeField):
        return clock.now()
    if isinstance(field, fields.DateField):
        return date(2026, 1, 31)
    return next(value for kinds, value in _VALUES if isinstance(field, kinds))
