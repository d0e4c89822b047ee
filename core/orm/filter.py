"""A JSON tree that says which records are meant: read, checked against the model, made into a condition. No access.

`{"and": [...]}`, `{"or": [...]}`, `{"not": {...}}`, or a leaf `{"field": "contact.name", "op": "contains", "value":
"x"}`; `{}` means every record. A dot follows a relation. Nothing here knows who asks: the caller says which fields may
be named, and which records of other models count.

A leaf is true or false, never unknown: what is empty equals nothing. Over a relation it is true where some related
record makes it so; `ne`, `not_in` and `is_null` are the contraries of `eq`, `in` and of having a value. Relations
become subqueries, never joins, so that a record is found once however many relatives it has, and a found record can be
locked, changed and deleted by the same query.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from tortoise.exceptions import ValidationError
from tortoise.expressions import Q, Subquery
from tortoise.fields.relational import BackwardFKRelation, ForeignKeyFieldInstance, ManyToManyFieldInstance

from core.errors import UserError, did_you_mean
from core.orm import fields
from core.pattern import pattern

MOST_DEPTH = 8
MOST_LEAVES = 100
MOST_VALUES = 500
MOST_BYTES = 20_000
MOST_RELATIONS = 3
_PATH = pattern(r"[a-z]\w{0,99}(?:\.[a-z]\w{0,99}){0,3}", re.ASCII)
_MOST_EXPONENT = 30


class Op(StrEnum):
    """How a field is compared with a value."""

    EQ = "eq"
    NE = "ne"
    LT = "lt"
    LE = "le"
    GT = "gt"
    GE = "ge"
    IN = "in"
    NOT_IN = "not_in"
    CONTAINS = "contains"
    """`contains`, `starts_with` and `ends_with` do not tell capitals from small letters; no character is a wildcard."""
    STARTS_WITH = "starts_with"
    ENDS_WITH = "ends_with"
    IS_NULL = "is_null"


@dataclass(frozen=True, slots=True)
class Leaf:
    """One comparison; `place` is the leaf's JSON pointer (RFC 6901), `value` a tuple for `in` and `not_in`."""

    place: str
    path: tuple[str, ...]
    op: Op
    value: Any


@dataclass(frozen=True, slots=True)
class AllOf:
    """True where every part is; so without any part."""

    parts: tuple[Filter, ...] = ()


@dataclass(frozen=True, slots=True)
class AnyOf:
    """True where some part is."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """True where the part is not."""

    part: Filter


Filter = Leaf | AllOf | AnyOf | Not
Readable = Callable[[type, str], None]
"""Raises where a field of a model must not be asked about."""
Within = Callable[[type], Q]
"""The condition on the records of a model that count as relatives."""

_EQUAL = frozenset({Op.EQ, Op.NE, Op.IN, Op.NOT_IN, Op.IS_NULL})
_ORDER = frozenset({Op.LT, Op.LE, Op.GT, Op.GE})
_TEXT = {Op.CONTAINS: "icontains", Op.STARTS_WITH: "istartswith", Op.ENDS_WITH: "iendswith"}
_LOOKUPS = {Op.EQ: "", Op.IN: "__in", Op.LT: "__lt", Op.LE: "__lte", Op.GT: "__gt", Op.GE: "__gte"} | {
    op: f"__{lookup}" for op, lookup in _TEXT.items()
}
_CONTRARIES = {Op.NE: Op.EQ, Op.NOT_IN: Op.IN}
_MANY = frozenset({Op.IN, Op.NOT_IN})


# Reading the tree.


def parse_filter(tree: object) -> Filter:
    """Read what JSON gave; UserError names what is wrong and its place as a JSON pointer. Knows no model."""
    if isinstance(tree, dict) and not tree:
        return AllOf()
    found = _read(tree, "", 1, [])
    if len(json.dumps(tree).encode()) > MOST_BYTES:
        raise _fault("", f"is longer than {MOST_BYTES} bytes; ask for less at once")
    return found


def _read(tree: object, place: str, depth: int, leaves: list[str]) -> Filter:
    if depth > MOST_DEPTH:
        raise _fault(place, f"is nested more than {MOST_DEPTH} deep")
    if not isinstance(tree, dict):
        raise _fault(place, 'must be an object, such as {"field": "name", "op": "eq", "value": "x"}')
    if "field" in tree:
        return _read_leaf(tree, place, leaves)
    if len(tree) != 1 or not (word := next(iter(tree))) or word not in ("and", "or", "not"):
        raise _fault(place, 'must have "and", "or" or "not" alone, or "field", "op" and "value"')
    inner = f"{place}/{word}"
    if word == "not":
        return Not(_read(tree[word], inner, depth + 1, leaves))
    parts = tree[word]
    if not isinstance(parts, list) or not parts:
        raise _fault(inner, "must be a list with at least one part")
    read = tuple(_read(part, f"{inner}/{at}", depth + 1, leaves) for at, part in enumerate(parts))
    return AllOf(read) if word == "and" else AnyOf(read)


def _read_leaf(tree: dict[Any, Any], place: str, leaves: list[str]) -> Leaf:
    leaves.append(place)
    if len(leaves) > MOST_LEAVES:
        raise _fault(place, f"is one comparison too many; {MOST_LEAVES} are allowed")
    if tree.keys() != {"field", "op", "value"}:
        raise _fault(place, 'must have "field", "op" and "value", and nothing else')
    path = tree["field"]
    if not isinstance(path, str) or not _PATH.fullmatch(path):
        raise _fault(f"{place}/field", f"must be a field's name, behind at most {MOST_RELATIONS} relations and dots")
    try:
        op = Op(tree["op"])
    except (ValueError, TypeError):
        hint = did_you_mean(tree["op"], Op) if isinstance(tree["op"], str) and len(tree["op"]) < 100 else ""
        raise _fault(f"{place}/op", f"must be one of {', '.join(Op)}.{hint}") from None
    return Leaf(place, tuple(path.split(".")), op, _read_value(op, tree["value"], f"{place}/value"))


def _read_value(op: Op, value: object, place: str) -> Any:
    if op in _MANY and isinstance(value, list):
        if len(value) > MOST_VALUES:
            raise _fault(place, f"holds more than {MOST_VALUES} values")
        return tuple(_read_scalar(one, f"{place}/{at}") for at, one in enumerate(value))
    if op in _MANY and not (isinstance(value, str) and value.startswith("$")):
        raise _fault(place, f'must be a list for "{op}"')
    if op is Op.IS_NULL and not isinstance(value, bool):
        raise _fault(place, "must be true or false")
    return _read_scalar(value, place)


def _read_scalar(value: object, place: str) -> Any:
    match value:
        case bool():
            return value
        case str():
            if "\0" in value or any("\ud800" <= char <= "\udfff" for char in value):
                raise _fault(place, "holds a character that no database stores (NUL, or half of a pair)")
            return value
        case int():
            if not -(2**63) <= value < 2**63:
                raise _fault(place, "is a number that does not fit in 64 bits")
            return value
        case float():
            if not math.isfinite(value):
                raise _fault(place, "must be a finite number")
            return value
        case None:
            raise _fault(place, 'must not be null; "is_null" asks for what is empty')
    raise _fault(place, "must be a text, a number, true or false")


def _fault(place: str, reason: str) -> UserError:
    return UserError(f"The filter{f' at {place}' if place else ''} {reason}")


# Making the condition.


def condition(
    tree: Filter,
    model: type[Any],
    readable: Readable,
    values: Mapping[str, object] = MappingProxyType({}),
    within: Within | None = None,
) -> Q:
    """Return the condition that a Filter puts on the records of a model.

    `values` are what texts such as `$user.id` stand for, where any are given; None among them equals nothing. Raises
    UserError for a field that is none, or that takes no such operator or value, and whatever `readable` raises.
    """
    return _Condition(readable, values, within).of(tree, model)


def fields_of(model: type[Any]) -> dict[str, Any]:
    """Return the fields of a model that may be asked about: none that is secret, each relation by its own name."""
    private = getattr(model, "_private", ())
    return {
        name: column
        for name, column in model._meta.fields_map.items()
        if name not in private and name != "pk" and not isinstance(column, fields.SecretField) and not _is_key(column)
    }


@dataclass(frozen=True, slots=True)
class _Condition:
    readable: Readable
    values: Mapping[str, object]
    within: Within | None

    def of(self, tree: Filter, model: type[Any]) -> Q:
        match tree:
            case Leaf():
                return self._leaf(tree, model, tree.path)
            case Not(part):
                return ~self.of(part, model)
            case AllOf(parts):
                return Q(*[self.of(part, model) for part in parts], join_type=Q.AND) if parts else _true()
            case AnyOf(parts):
                return Q(*[self.of(part, model) for part in parts], join_type=Q.OR)

    def _leaf(self, leaf: Leaf, model: type[Any], path: tuple[str, ...]) -> Q:
        """Return the condition of a leaf, of which `path` is what is left to go from `model` on."""
        if leaf.op in _CONTRARIES:
            return ~self._leaf(Leaf(leaf.place, leaf.path, _CONTRARIES[leaf.op], leaf.value), model, path)
        if leaf.op is Op.IS_NULL and leaf.value:
            return ~self._leaf(Leaf(leaf.place, leaf.path, Op.IS_NULL, False), model, path)
        name, column = self._field(leaf, model, path[0])
        if len(path) == 1 and not _is_to_many(column):
            return self._comparison(leaf, model, name, column)
        if not hasattr(column, "related_model"):
            raise _fault(f"{leaf.place}/field", f"cannot go on from {model.__name__}.{name}, which is no relation")
        related = column.related_model
        inner = self._leaf(leaf, related, path[1:]) if path[1:] else self._comparison(leaf, related, "id", None)
        if self.within is not None:
            inner = Q(inner, self.within(related) or _true())
        return _through(model, name, column, inner)

    def _field(self, leaf: Leaf, model: type[Any], name: str) -> tuple[str, Any]:
        known = fields_of(model)
        keys = {getattr(column, "source_field", None): other for other, column in known.items() if _is_to_one(column)}
        name = keys.get(name, name)
        if name not in known:
            hint = did_you_mean(name, known)
            raise _fault(f"{leaf.place}/field", f'names "{name}", which is no field of {model.__name__}.{hint}')
        self.readable(model, name)
        return name, known[name]

    def _comparison(self, leaf: Leaf, model: type[Any], name: str, column: Any) -> Q:
        """Return the condition on the model's own column; without a column, on the ids of relatives."""
        kind = _kind_of(column)
        if leaf.op not in kind.ops:
            allowed = ", ".join(op for op in Op if op in kind.ops)
            raise _fault(f"{leaf.place}/op", f"cannot be {leaf.op} for {model.__name__}.{name}, which takes {allowed}")
        stored = column.source_field if _is_to_one(column) else name
        if leaf.op is Op.IS_NULL:
            return _true() if column is None else _where(f"{stored}__isnull", False)
        value = self._value(leaf, kind, column)
        if value is None:
            return ~_true()
        return _known(stored, _where(f"{stored}{_LOOKUPS[leaf.op]}", value))

    def _value(self, leaf: Leaf, kind: _Kind, column: Any) -> Any:
        """Return the value as the column takes it; None where it is that of a name that stands for nothing."""
        given = self._stands_for(leaf, leaf.value)
        try:
            if leaf.op is Op.IN:
                if not isinstance(given, list | tuple | set | frozenset):
                    raise UserError("must be a list")
                meant = [self._stands_for(leaf, one) for one in given]
                return [kind.read(column, one) for one in meant if one is not None]
            if given is None:
                return None
            return _text(given) if leaf.op in _TEXT else kind.read(column, given)
        except (UserError, ValidationError) as error:
            raise _fault(f"{leaf.place}/value", str(error)) from None

    def _stands_for(self, leaf: Leaf, value: Any) -> Any:
        if not self.values or not isinstance(value, str) or not value.startswith("$"):
            return value
        if value not in self.values:
            known = ", ".join(self.values)
            raise _fault(f"{leaf.place}/value", f'is "{value}", which stands for nothing; known are {known}')
        return self.values[value]


def _where(lookup: str, value: Any) -> Q:
    return Q(**{lookup: value})


def _true() -> Q:
    """A condition that always holds; an empty Q would vanish from an OR."""
    return _where("id__not_in", [])


def _known(stored: str, holds: Q) -> Q:
    """Return a condition on a column so that it is false, and not unknown, where the column is empty.

    Also where it never is: the query builder negates a lone IN only once, however often it is asked to.
    """
    return Q(holds, _where(f"{stored}__isnull", False))


def _through(model: type[Any], name: str, column: Any, inner: Q) -> Q:
    """Return the condition that some record which a relation leads to fulfils `inner`."""
    relatives = column.related_model.filter(inner)
    if _is_to_one(column):
        key = column.source_field
        return _known(key, _where(f"{key}__in", Subquery(relatives.values("id"))))
    if isinstance(column, ManyToManyFieldInstance):
        among = model.filter(_where(f"{name}__id__in", Subquery(relatives.values("id"))))
        return _known("id", _where("id__in", Subquery(among.values("id"))))
    key = column.relation_source_field
    return _known("id", _where("id__in", Subquery(relatives.filter(_where(f"{key}__isnull", False)).values(key))))


def _is_to_one(column: Any) -> bool:
    return isinstance(column, ForeignKeyFieldInstance)


def _is_to_many(column: Any) -> bool:
    return isinstance(column, ManyToManyFieldInstance | BackwardFKRelation)


def _is_key(column: Any) -> bool:
    """Whether this is the column under a to-one relation."""
    return getattr(column, "reference", None) is not None


# Values, as the columns take them.


@dataclass(frozen=True, slots=True)
class _Kind:
    """What fields of a kind can be asked, and how a value for them is read."""

    ops: frozenset[Op]
    read: Callable[[Any, Any], Any]


def _kind_of(column: Any) -> _Kind:
    return next((kind for kinds, kind in _KINDS if isinstance(column, kinds)), _NO_KIND)


def _text(given: Any) -> str:
    if not isinstance(given, str):
        raise UserError("must be a text")
    return given


def _read_text(column: Any, given: Any) -> str:
    text = _text(given)
    column.validate(text)
    return text


def _read_choice(column: Any, given: Any) -> str:
    text = _text(given)
    if text not in column.choices:
        raise UserError(f"is none of {', '.join(column.choices)}.{did_you_mean(text[:100], column.choices)}")
    return text


def _read_truth(column: Any, given: Any) -> bool:
    if not isinstance(given, bool):
        raise UserError("must be true or false")
    return given


def _read_whole(column: Any, given: Any) -> int:
    if isinstance(given, bool) or not isinstance(given, int):
        raise UserError("must be a whole number")
    bits = 31 if isinstance(column, fields.IntField) and not isinstance(column, fields.BigIntField) else 63
    if not -(2**bits) <= given < 2**bits:
        raise UserError(f"must be a whole number of at most {bits + 1} bits")
    return given


def _read_decimal(column: Any, given: Any) -> Decimal:
    if isinstance(given, bool) or not isinstance(given, int | float | str | Decimal):
        raise UserError('must be a number, or one as text such as "12.50"')
    try:
        number = Decimal(str(given))
    except InvalidOperation:
        raise UserError('must be a number, or one as text such as "12.50"') from None
    if not number.is_finite() or number.adjusted() >= column.max_digits - column.decimal_places:
        raise UserError(f"must be below 1e{column.max_digits - column.decimal_places}")
    if not -_MOST_EXPONENT <= int(number.as_tuple().exponent) <= _MOST_EXPONENT:
        raise UserError(f"has more than {_MOST_EXPONENT} places")
    return number


def _read_float(column: Any, given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise UserError("must be a number")
    return float(given)


def _read_moment(column: Any, given: Any) -> datetime:
    try:
        at = given if isinstance(given, datetime) else datetime.fromisoformat(_text(given))
        if at.tzinfo is None:
            raise UserError("must be a time with its zone, such as 2030-01-31T09:00:00Z")
        return at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise UserError("must be a time with its zone, such as 2030-01-31T09:00:00Z") from None


def _read_day(column: Any, given: Any) -> date:
    if isinstance(given, date) and not isinstance(given, datetime):
        return given
    try:
        return date.fromisoformat(_text(given))
    except ValueError:
        raise UserError("must be a day such as 2030-01-31") from None


_NO_KIND = _Kind(frozenset({Op.IS_NULL}), lambda column, given: given)
_KINDS: tuple[tuple[Any, _Kind], ...] = (
    (fields.SelectionField, _Kind(_EQUAL, _read_choice)),
    ((fields.CharField, fields.TextField), _Kind(_EQUAL | _TEXT.keys(), _read_text)),
    (fields.BooleanField, _Kind(_EQUAL, _read_truth)),
    ((fields.IntField, fields.BigIntField), _Kind(_EQUAL | _ORDER, _read_whole)),
    ((ForeignKeyFieldInstance, type(None)), _Kind(_EQUAL, _read_whole)),
    (fields.DecimalField, _Kind(_EQUAL | _ORDER, _read_decimal)),
    (fields.FloatField, _Kind(_EQUAL | _ORDER, _read_float)),
    (fields.DatetimeField, _Kind(_EQUAL | _ORDER, _read_moment)),
    (fields.DateField, _Kind(_EQUAL | _ORDER, _read_day)),
)
