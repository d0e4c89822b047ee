"""SQL column types compared: whether one holds all that another one does. Pure.

Both spellings are understood, that of a CREATE TABLE (`VARCHAR(200)`) and that of PostgreSQL's catalog (`character
varying(200)`). A type is a family and sizes; within a family a bigger size only widens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from core.pattern import pattern

_SHAPE = pattern(r"([a-z ]+?) *(?:\(([\d, ]+)\))?( [a-z ]+)?")
_SPELLINGS = {
    "character varying": "varchar",
    "character": "char",
    "numeric": "decimal",
    "integer": "int",
    "boolean": "bool",
    "timestamp with time zone": "timestamptz",
    "time with time zone": "timetz",
}
_WHOLE_BYTES = {"smallint": 2, "int": 4, "bigint": 8}


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A family of types and how much this one holds; more in every size holds all that less does."""

    family: str
    sizes: tuple[float, ...] = ()

    def holds(self, other: ColumnType) -> bool:
        """Whether every value of `other` fits."""
        return self.family == other.family and all(
            mine >= theirs for mine, theirs in zip(self.sizes, other.sizes, strict=True)
        )


def column_type(sql: str) -> ColumnType:
    """Read a type as SQL writes it."""
    match = _SHAPE.fullmatch(sql.casefold().strip())
    if match is None:
        return ColumnType(sql.casefold())
    words = match[1] + (match[3] or "")
    name = _SPELLINGS.get(words, words)
    sizes = [int(size) for size in (match[2] or "").split(",") if size.strip()]
    if name in ("varchar", "char", "text"):
        return ColumnType("text", (sizes[0] if sizes else math.inf,))
    if name in _WHOLE_BYTES:
        return ColumnType("whole number", (_WHOLE_BYTES[name],))
    if name == "decimal":
        digits, scale = (*sizes, 0)[:2] if sizes else (math.inf, math.inf)
        return ColumnType("decimal", (digits - scale if sizes else math.inf, scale))
    return ColumnType(name)


def widened(live: str, wanted: str) -> str:
    """Return the type of `live`'s family that holds what both do; `wanted` itself where that is enough."""
    old, new = column_type(live), column_type(wanted)
    if old.family == "decimal" and not new.holds(old):
        before, after = (int(max(sizes)) for sizes in zip(old.sizes, new.sizes, strict=True))
        return f"DECIMAL({before + after},{after})"
    return wanted
