"""The strong ETag of a record (RFC 9110, 8.8.3), and the conditions that a request may put on it (13.1).

A tag covers the record's columns, also those that this caller may not read, what it is linked to and its lines. It is
keyed, so nothing of a secret can be guessed from it.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from core.orm.fields import BinaryField
from core.pattern import pattern
from core.runtime import settings
from core.web.record_faults import StaleRecord
from core.web.record_read import plain
from core.web.record_shape import shape_of

_TAG = pattern(r'(W/)?("[^"\x00-\x20\x7f]{0,200}")')


async def tag_of(record: Any) -> str:
    """Return the ETag of a record as it was just read."""
    told = json.dumps([_columns(record), await _parts(record)], default=repr).encode()
    key = hashlib.sha256(settings().secret_keys[0].encode()).digest()
    return f'"{hashlib.blake2b(told, key=key, digest_size=16).hexdigest()}"'


async def check_match(record: Any, if_match: str | None) -> None:
    """Raise StaleRecord unless the record is one that `If-Match` names; `*` names any."""
    if if_match is None or if_match.strip() == "*":
        return
    tag = await tag_of(record)
    if tag not in [found[2] for found in _TAG.finditer(if_match) if not found[1]]:
        raise StaleRecord(tag)


def is_known(tag: str, if_none_match: str | None) -> bool:
    """Tell whether the caller has a record already, as `If-None-Match` says."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or tag in [found[2] for found in _TAG.finditer(if_none_match)]


def _columns(record: Any) -> list[tuple[str, Any]]:
    meta = record._meta
    kept = (name for name in meta.db_fields if not isinstance(meta.fields_map[name], BinaryField))
    return [(name, _stable(getattr(record, name))) for name in sorted(kept)]


async def _parts(record: Any) -> list[tuple[str, Any]]:
    """Return the ids that a record is linked to, and its lines."""
    parts: list[tuple[str, Any]] = []
    for shape in shape_of(type(record)).values():
        if shape.is_to_many and shape.is_default:
            rows = getattr(record, shape.name).all().order_by("id")
            told = [_columns(row) for row in await rows] if shape.is_lines else await rows.values_list("id", flat=True)
            parts.append((shape.name, list(told)))
    return parts


def _stable(value: Any) -> Any:
    """Return a value in one form, whether it was just set or read."""
    return plain(value.normalize()) if hasattr(value, "normalize") else plain(value)
