"""The values of tracked fields: what they are, and what a person reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from core.orm.fields import SecretField, SelectionField


@dataclass(frozen=True, slots=True)
class TrackedValue:
    """A field's value as JSON holds it, its text for a person, and the field's type in lower case."""

    value: Any
    text: str
    kind: str


async def tracked_values(record: Any, names: Iterable[str]) -> dict[str, TrackedValue]:
    """Return the values of some fields of a stored record; a reference is its id, with the name as text."""
    values: dict[str, TrackedValue] = {}
    for name in names:
        field = record._meta.fields_map[name]
        if name in record._meta.fk_fields:
            target = await getattr(record, name)
            values[name] = TrackedValue(getattr(target, "pk", None), getattr(target, "display_name", ""), "reference")
        else:
            value = getattr(record, name)
            values[name] = TrackedValue(_plain(field, value), _text(field, value), _kind(field))
    return values


def changes_between(old: Mapping[str, TrackedValue], new: Mapping[str, TrackedValue]) -> list[dict[str, Any]]:
    """Return a row for `Tracking` for each field that differs; none for a change that was taken back."""
    return [
        {
            "field": name,
            "kind": new[name].kind,
            "old": json.dumps(old[name].value),
            "new": json.dumps(new[name].value),
            "old_text": old[name].text,
            "new_text": new[name].text,
        }
        for name in new
        if old[name].value != new[name].value
    ]


def _plain(field: Any, value: Any) -> Any:
    if isinstance(field, SecretField):
        return None if not value else "********"
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return value.isoformat() if isinstance(value, date | datetime) else value


def _text(field: Any, value: Any) -> str:
    if isinstance(field, SelectionField):
        return field.choices.get(value, "") if value is not None else ""
    plain = _plain(field, value)
    return "" if plain is None else str(plain)


def _kind(field: Any) -> str:
    return type(field).__name__.removesuffix("Field").lower()
