"""Which records a program asks for, in which order, and a page at a time.

A page begins behind the last record of the one before (keyset), so pages neither skip nor repeat while records are
added. Its cursor is signed and good for the very same question only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from itsdangerous import BadData, URLSafeSerializer
from tortoise.expressions import Q, RawSQL

from core.access import Access, Right
from core.errors import did_you_mean
from core.runtime import get_model, settings
from core.web.record_faults import invalid
from core.web.record_read import light, plain
from core.web.record_shape import FieldShape, shape_of

MOST_ORDERS = 5
_LAST = "_empty_"


@dataclass(frozen=True, slots=True)
class Question:
    """Which records of a model are asked for. `filter` is a tree or None, `order` field names, with `-` downwards.

    `q` is looked for in their names. `before` starts under an id, as older programs page.
    """

    model: str
    limit: int
    filter: dict[str, Any] | None = None
    order: tuple[str, ...] = ()
    cursor: str | None = None
    q: str = ""
    before: int | None = None
    counted: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """A page of records; `next_cursor` is None at the end, `count` where nobody asked.

    A page may be short: what belongs to records that the user may not read is left out.
    """

    records: list[Any]
    next_cursor: str | None
    count: int | None
    last_id: int | None
    """The id that the next page starts under, where the order is by id."""


@dataclass(frozen=True, slots=True)
class _Order:
    """One thing to order by; what is empty comes last either way."""

    shape: FieldShape
    down: bool

    @property
    def name(self) -> str:
        return self.shape.attribute

    @property
    def may_be_empty(self) -> bool:
        return bool(self.shape.column.null)

    def terms(self) -> list[str]:
        own = f"-{self.name}" if self.down else self.name
        return [_LAST + self.name, own] if self.may_be_empty else [own]

    def emptiness(self) -> RawSQL:
        """Return whether it is empty: databases differ in where they sort that."""
        return RawSQL(f'"{self.shape.column.model._meta.db_table}"."{self.shape.stored_in}" IS NULL')

    def same(self, value: Any) -> Q:
        return _is_empty(self.name) if value is None else Q(**{self.name: value})

    def after(self, value: Any) -> Q | None:
        """Return the condition on what comes later; None where nothing can."""
        if value is None:
            return None
        later = Q(**{f"{self.name}__{'lt' if self.down else 'gt'}": value})
        return Q(later, _is_empty(self.name), join_type=Q.OR) if self.may_be_empty else later


def _is_empty(name: str) -> Q:
    return Q(**{f"{name}__isnull": cast("Any", True)})


async def find_page(access: Access, question: Question) -> Found:
    """Return a page of the records that the user may read; InvalidRecord for a question that cannot be asked."""
    model = get_model(question.model)
    rows = asked(access, question)
    orders = _orders(access, model, question.order)
    count = await rows.count() if question.counted else None
    if question.before is not None:
        rows = rows.filter(id__lt=question.before)
    if question.cursor is not None:
        rows = rows.filter(_behind(orders, _read_cursor(question, orders)))
    empty = {_LAST + one.name: one.emptiness() for one in orders if one.may_be_empty}
    rows = light(rows, model).annotate(**empty).order_by(*(term for one in orders for term in one.terms()))
    found = await rows.limit(question.limit + 1)
    page, has_more = found[: question.limit], len(found) > question.limit
    return Found(
        records=await access.visible(page),
        next_cursor=_cursor(question, orders, page[-1]) if has_more else None,
        count=count,
        last_id=page[-1].pk if has_more and not question.order else None,
    )


def asked(access: Access, question: Question) -> Any:
    """Return the query of all records that the question is about, as far as the user may read them."""
    model = get_model(question.model)
    rows = access.records(question.model)
    if question.q.strip() and model.label_field in model._meta.db_fields:
        access.require_field(question.model, model.label_field)
        rows = rows.filter(**{f"{model.label_field}__icontains": question.q.strip()})
    return rows if question.filter is None else rows.filter(access.matching(question.model, question.filter))


def _orders(access: Access, model: Any, names: Sequence[str]) -> list[_Order]:
    if len(names) > MOST_ORDERS:
        raise invalid("/order", f"names more than {MOST_ORDERS} fields")
    orders = [_order(access, model, name, f"/order/{at}") for at, name in enumerate(names)]
    if not any(one.name == "id" for one in orders):
        orders.append(_Order(shape_of(model)["id"], down=not orders or orders[-1].down))
    return orders


def _order(access: Access, model: Any, name: str, place: str) -> _Order:
    return _Order(column_named(access, model, name.removeprefix("-"), place), name.startswith("-"))


def column_named(access: Access, model: Any, name: str, place: str) -> FieldShape:
    """Return a field that records can be ordered and grouped by; refuse what cannot, or what is not for this user."""
    known = {one: shape for one, shape in shape_of(model).items() if shape.is_column and shape.may_read}
    if name not in known:
        raise invalid(
            place, f"names no field of {model.__name__} to order or group by.{did_you_mean(name[:100], known)}"
        )
    if name != "id":
        access.require_field(model.__name__, name, Right.READ)
    return known[name]


def _behind(orders: Sequence[_Order], values: Sequence[Any]) -> Q:
    """Return the condition on what comes behind a record with these values."""
    ways = []
    for at, (one, value) in enumerate(zip(orders, values, strict=True)):
        later = one.after(value)
        if later is not None:
            ways.append(Q(*[before.same(told) for before, told in zip(orders[:at], values, strict=False)], later))
    return Q(*ways, join_type=Q.OR)


# Cursors.


def _cursor(question: Question, orders: Sequence[_Order], last: Any) -> str:
    values = [plain(getattr(last, one.name)) for one in orders]
    return str(_signer().dumps([_fingerprint(question), values]))


def _read_cursor(question: Question, orders: Sequence[_Order]) -> list[Any]:
    try:
        fingerprint, values = _signer().loads(question.cursor or "")
    except (BadData, ValueError):
        raise invalid("/cursor", "is no cursor of ours; take it from `next_cursor` as it is") from None
    if fingerprint != _fingerprint(question):
        raise invalid("/cursor", "belongs to another question; keep model, filter and order as they were")
    return [
        None if value is None else one.shape.column.to_python_value(value)
        for one, value in zip(orders, values, strict=True)
    ]


def _fingerprint(question: Question) -> str:
    asked_for = [question.model, question.filter, question.order, question.q]
    return hashlib.sha256(json.dumps(asked_for, sort_keys=True).encode()).hexdigest()[:16]


def _signer() -> URLSafeSerializer:
    return signer("postroom page of records")


def signer(purpose: str) -> URLSafeSerializer:
    """Return what signs texts that come back from programs; the configuration's first key signs."""
    keys = list(reversed(settings().secret_keys))
    return URLSafeSerializer(
        keys, salt=purpose, signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256}
    )
