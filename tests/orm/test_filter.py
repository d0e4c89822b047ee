"""Properties of the JSON filter: it refuses in one way only, and both databases agree with plain Python."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from cryptography.fernet import Fernet, MultiFernet
from hypothesis import HealthCheck, given
from hypothesis import settings as with_settings
from hypothesis import strategies as st
from tortoise.expressions import Q

from core.errors import AccessDenied, UserError
from core.orm import fields, schema
from core.orm.database import Database
from core.orm.filter import AllOf, AnyOf, Filter, Leaf, Not, Op, condition, parse_filter
from core.orm.record import Record
from tests.orm.opened import opened

pytestmark = pytest.mark.anyio


class Land(Record):
    name = fields.CharField(max_length=20)


class Client(Record):
    name = fields.CharField(max_length=20)
    land = fields.ForeignKeyField("models.Land", null=True, related_name="clients")


class Tag(Record):
    name = fields.CharField(max_length=20)


class Order(Record):
    _private = ("pin",)

    name = fields.CharField(max_length=40, null=True)
    note = fields.TextField(default="")
    stage = fields.SelectionField({"new": "New", "done": "Done"}, default="new")
    total = fields.DecimalField(max_digits=12, decimal_places=2, null=True)
    weight = fields.FloatField(null=True)
    count = fields.IntField(null=True)
    big = fields.BigIntField(null=True)
    urgent = fields.BooleanField(default=False)
    due_on = fields.DateField(null=True)
    seen_at = fields.DatetimeField(null=True)
    extra = fields.JSONField(default=dict)
    content = fields.BinaryField(null=True)
    pin = fields.CharField(max_length=4, default="")
    key = fields.SecretField(default="")
    client = fields.ForeignKeyField("models.Client", null=True, related_name="orders")
    tags = fields.ManyToManyField("models.Tag", related_name="orders", through="order_tag")

    class Meta:
        table = "client_order"


class Part(Record):
    price = fields.IntField(default=0)
    order = fields.ForeignKeyField("models.Order", null=True, related_name="parts")


FRAGMENTS = (Land, Client, Tag, Order, Part)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    token = fields.secret_cipher.set(MultiFernet([Fernet(Fernet.generate_key())]))
    async with opened(database_url, *FRAGMENTS) as database:
        await schema.apply(database)
        yield database
    fields.secret_cipher.reset(token)


AT = datetime(2030, 1, 1, 12, 30, tzinfo=UTC)
DAY = date(2030, 1, 1)
ROWS: tuple[dict[str, Any], ...] = (
    {"name": "Chair 50%", "total": Decimal("5.00"), "weight": 0.5, "count": 5, "big": 2**62, "due_on": DAY},
    {"name": "chair_red", "stage": "done", "total": Decimal("12.50"), "urgent": True, "seen_at": AT, "count": -5},
    {"name": "table\\x", "total": Decimal("100.00"), "weight": 1.5, "seen_at": AT.replace(microsecond=5)},
    {"name": "", "total": Decimal("-1.00"), "big": -(2**62), "due_on": date(1, 1, 1), "count": 0},
    {"name": None, "note": "x", "content": b"x", "seen_at": AT.replace(hour=1)},
)  # fmt: skip


async def fill(database: Database) -> list[Any]:
    """Five orders: with no client, one without a land, and one with; tags and parts none, one, and several."""
    get = database.registry.get
    land = await get("Land").create(name="Poland")
    clients = [await get("Client").create(name="Ada", land=land), await get("Client").create(name="Bob")]
    tags = [await get("Tag").create(name=name) for name in ("red", "blue")]
    orders = [await get("Order").create(**row) for row in ROWS]
    for order, client in zip(orders[1:], [*clients, clients[0], clients[1]], strict=True):
        order.client = client
        await order.save()
    await orders[0].tags.add(*tags)
    await orders[1].tags.add(tags[0])
    for order, price in ((orders[0], 1), (orders[0], 2), (orders[2], 2), (orders[3], 3)):
        await get("Part").create(order=order, price=price)
    await get("Part").create(price=9)
    return list(await get("Order").all().prefetch_related("client__land__clients", "tags", "parts").order_by("id"))


def anything(model: type, name: str) -> None:
    """Every field may be asked about."""


async def found(database: Database, tree: object, values: dict[str, object] | None = None) -> list[int]:
    model = database.registry.get("Order")
    where = condition(parse_filter(tree), model, anything, values or {})
    ids: list[int] = await model.filter(where).order_by("id").values_list("id", flat=True)
    return list(ids)


# The same in plain Python.


def holds(tree: Filter, record: Any) -> bool:
    match tree:
        case AllOf(parts):
            return all(holds(part, record) for part in parts)
        case AnyOf(parts):
            return any(holds(part, record) for part in parts)
        case Not(part):
            return not holds(part, record)
        case Leaf(_, path, op, value):
            reached = [one for one in reach(record, path) if one is not None]
            if op in ("ne", "not_in"):
                return not any(equal(one, value, many=op == "not_in") for one in reached)
            if op == "is_null":
                return (not reached) == value
            return any(compare(one, op, value) for one in reached)


def reach(record: Any, path: tuple[str, ...]) -> list[Any]:
    value = getattr(record, path[0])
    values = list(value) if hasattr(value, "related_objects") else [value]
    if path[1:]:
        return [end for one in values if one is not None for end in reach(one, path[1:])]
    return [one.pk if hasattr(one, "pk") else one for one in values]


def typed(one: Any, value: Any) -> Any:
    if isinstance(one, Decimal):
        return Decimal(str(value))
    if isinstance(one, datetime):
        return datetime.fromisoformat(value)
    return date.fromisoformat(value) if isinstance(one, date) else value


def equal(one: Any, value: Any, *, many: bool) -> bool:
    return any(one == typed(one, each) for each in value) if many else bool(one == typed(one, value))


def compare(one: Any, op: str, value: Any) -> bool:
    if op in ("eq", "in"):
        return equal(one, value, many=op == "in")
    if op in ("contains", "starts_with", "ends_with"):
        text, part = one.lower(), value.lower()
        return {"contains": part in text, "starts_with": text.startswith(part), "ends_with": text.endswith(part)}[op]
    value = typed(one, value)
    return bool({"lt": one < value, "le": one <= value, "gt": one > value, "ge": one >= value}[op])


# Filters to try.

ASCII = st.sampled_from(["", "a", "CHAIR", "%", "_", "\\", "50%", "r_r", "x", "\\x", "chair_red", "'", '"'])
EQUALITY = ("eq", "ne")
ORDERED = ("eq", "ne", "lt", "le", "gt", "ge")
WORDS = (*EQUALITY, "contains", "starts_with", "ends_with")
WHOLE = st.integers(-6, 6)
MONEY = st.sampled_from([5, 5.0, "5", "12.5", "12.50", "100.001", -1, "-1.00", 99.99])
DAYS = st.sampled_from(["2030-01-01", "0001-01-01", "2029-12-31"])
TIMES = st.sampled_from(["2030-01-01T12:30:00Z", "2030-01-01T13:30:00.000005+01:00", "2030-01-01T01:30:00+00:00"])
BIGS = st.sampled_from([2**62, -(2**62), 2**63 - 1, -(2**63), 0])
COLUMNS: tuple[tuple[str, tuple[str, ...], st.SearchStrategy[Any]], ...] = (
    ("name", WORDS, ASCII),
    ("note", WORDS, ASCII),
    ("stage", EQUALITY, st.sampled_from(["new", "done"])),
    ("total", ORDERED, MONEY),
    ("weight", ORDERED, st.sampled_from([0.5, 1, 1.5, -0.5])),
    ("count", ORDERED, WHOLE),
    ("big", ORDERED, BIGS),
    ("urgent", EQUALITY, st.booleans()),
    ("due_on", ORDERED, DAYS),
    ("seen_at", ORDERED, TIMES),
    ("id", ORDERED, WHOLE),
    ("client", EQUALITY, WHOLE),
    ("client_id", EQUALITY, WHOLE),
    ("client.name", WORDS, st.sampled_from(["Ada", "bo", "o"])),
    ("client.land", EQUALITY, WHOLE),
    ("client.land.name", WORDS, st.sampled_from(["Poland", "pol", "x"])),
    ("client.land.clients.name", WORDS, st.sampled_from(["Ada", "bo", "x"])),
    ("tags", EQUALITY, WHOLE),
    ("tags.name", WORDS, st.sampled_from(["red", "BL", "x"])),
    ("parts", EQUALITY, WHOLE),
    ("parts.price", ORDERED, WHOLE),
)


def leaves() -> st.SearchStrategy[dict[str, Any]]:
    def of(name: str, ops: tuple[str, ...], values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
        field = st.just(name)
        return st.one_of(
            st.fixed_dictionaries({"field": field, "op": st.sampled_from(ops), "value": values}),
            st.fixed_dictionaries(
                {"field": field, "op": st.sampled_from(["in", "not_in"]), "value": st.lists(values, max_size=3)}
            ),
            st.fixed_dictionaries({"field": field, "op": st.just("is_null"), "value": st.booleans()}),
        )

    return st.one_of(*[of(*column) for column in COLUMNS])


TREES = st.recursive(
    leaves(),
    lambda inner: st.one_of(
        st.fixed_dictionaries({"not": inner}),
        st.fixed_dictionaries({"and": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"or": st.lists(inner, min_size=1, max_size=3)}),
    ),
    max_leaves=6,
)


class TestFinding:
    async def test_both_databases_agree_with_python(self, database: Database) -> None:
        records = await fill(database)
        tried: list[Any] = []
        with_settings(max_examples=250, database=None, suppress_health_check=list(HealthCheck))(
            given(tree=TREES)(lambda tree: tried.append(tree))
        )()
        for name, ops, values in COLUMNS:
            tried += [
                {"field": name, "op": op, "value": value}
                for op in ops
                for value in (getattr(values, "elements", None) or (0, 2, 5, False))
                if isinstance(value, bool) == (name == "urgent")
            ]
        for tree in tried:
            try:
                read = parse_filter(tree)
            except UserError:
                continue  # Too deep.
            assert await found(database, tree) == [one.pk for one in records if holds(read, one)], tree

    async def test_any_value_is_taken_or_refused(self, database: Database) -> None:
        await fill(database)
        tried: list[Any] = []
        odd = st.one_of(
            st.text(max_size=30), st.integers(), st.floats(), st.booleans(), st.decimals().map(str),
            st.dates().map(str), st.datetimes().map(str),
            st.datetimes(timezones=st.timezones()).map(lambda at: at.isoformat()),
            st.lists(st.one_of(st.integers(-5, 5), st.text(max_size=5)), max_size=3),
        )  # fmt: skip
        names = st.sampled_from([*(name for name, _, _ in COLUMNS), "extra", "content", "parts.order.client.name", "x"])
        leaf = st.fixed_dictionaries({"field": names, "op": st.sampled_from(list(Op)), "value": odd})
        with_settings(max_examples=400, database=None, suppress_health_check=list(HealthCheck))(
            given(tree=leaf)(lambda tree: tried.append(tree))
        )()
        for tree in tried:
            with suppress(UserError):
                await found(database, tree)

    async def test_a_found_record_can_be_counted_locked_changed_and_deleted(self, database: Database) -> None:
        await fill(database)
        model = database.registry.get("Order")
        tagged = {"field": "tags.name", "op": "contains", "value": ""}
        tree = {"and": [tagged, {"field": "parts", "op": "is_null", "value": False}]}
        where = condition(parse_filter(tree), model, anything)
        assert await model.filter(where).count() == 1
        assert len(await model.filter(where).select_for_update()) == 1
        assert await model.filter(where).update(note="locked") == 1
        await database.registry.get("Part").all().delete()
        await model.filter(~where).delete()
        assert await model.all().count() == 0

    async def test_names_stand_for_values(self, database: Database) -> None:
        await fill(database)
        values = {"$user.contact": 1, "$user.company": None, "$user.groups": [1, 2], "$today": date(2030, 1, 1)}

        def leaf(field: str, op: str, value: object) -> dict[str, object]:
            return {"field": field, "op": op, "value": value}

        assert await found(database, leaf("client", "eq", "$user.contact"), values) == [2, 4]
        assert await found(database, leaf("tags", "in", "$user.groups"), values) == [1, 2]
        assert await found(database, leaf("client", "in", ["$user.contact", "$user.company"]), values) == [2, 4]
        assert await found(database, leaf("client", "eq", "$user.company"), values) == []
        assert await found(database, leaf("client", "ne", "$user.company"), values) == [1, 2, 3, 4, 5]
        assert await found(database, leaf("due_on", "ge", "$today"), values) == [1]
        assert await found(database, leaf("name", "eq", "$user.contact")) == []
        with pytest.raises(UserError, match="stands for nothing"):
            await found(database, leaf("name", "eq", "$user.conact"), values)

    async def test_relatives_that_do_not_count_are_as_if_missing(self, database: Database) -> None:
        await fill(database)
        model = database.registry.get("Order")
        tree = parse_filter({"field": "client.name", "op": "contains", "value": "a"})

        def without_ada(related: type) -> Q:
            return ~Q(name="Ada")

        where = condition(tree, model, anything, within=without_ada)
        assert await model.filter(where).count() == 0
        assert await model.filter(~where).count() == 5

    @pytest.mark.parametrize(
        ("field", "op", "value", "words"),
        [
            ("nmae", "eq", "x", 'The filter at /field names "nmae", which is no field of Order. Did you mean "name"?'),
            ("pin", "eq", "x", "no field"),
            ("key", "is_null", True, "no field"),
            ("client.nme", "eq", "x", "no field of Client"),
            ("name.x", "eq", "x", "no relation"),
            ("stage", "eq", "nw", 'Did you mean "new"'),
            ("stage", "contains", "n", "takes eq, ne, in, not_in, is_null"),
            ("name", "lt", "x", "takes eq, ne, in, not_in, contains"),
            ("name", "eq", 5, "must be a text"),
            ("name", "contains", 5, "must be a text"),
            ("name", "eq", "x" * 50, "max_length|Length"),
            ("count", "eq", True, "whole number"),
            ("count", "eq", 1.5, "whole number"),
            ("count", "in", [1, 2**31], "32 bits"),
            ("urgent", "eq", 1, "true or false"),
            ("total", "eq", "NaN", "below"),
            ("total", "eq", "1e999999", "below"),
            ("total", "eq", "1e-999999", "places"),
            ("total", "eq", "x", "number"),
            ("weight", "eq", "1", "number"),
            ("due_on", "eq", "2030-02-31", "a day"),
            ("seen_at", "eq", "2030-01-01T00:00:00", "zone"),
            ("seen_at", "eq", "0001-01-01T00:00:00+14:00", "zone"),
            ("client", "gt", 5, "cannot be gt"),
            ("client", "eq", "Ada", "whole number"),
            ("extra", "eq", "x", "takes is_null"),
            ("name", "in", "$user.id", "must be a list"),
        ],
    )
    async def test_what_does_not_fit_is_refused(
        self, database: Database, field: str, op: str, value: object, words: str
    ) -> None:
        with pytest.raises(UserError, match=words.replace("?", "[?]") if "?" in words else words):
            await found(database, {"field": field, "op": op, "value": value})

    async def test_each_step_of_a_path_is_asked_about(self, database: Database) -> None:
        asked: list[tuple[str, str]] = []

        def gate(model: type, name: str) -> None:
            asked.append((model.__name__, name))
            if model.__name__ == "Land":
                raise AccessDenied("no land")

        tree = parse_filter({"not": {"field": "client.land.name", "op": "ne", "value": "x"}})
        with pytest.raises(AccessDenied):
            condition(tree, database.registry.get("Order"), gate)
        assert asked == [("Order", "client"), ("Client", "land"), ("Land", "name")]


# Reading.

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.just("$user.id")),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(["and", "or", "not", "field", "op", "value", "x", 1, None]), inner, max_size=4),
        st.fixed_dictionaries({"field": inner, "op": inner, "value": inner}),
        st.fixed_dictionaries({"field": st.just("a"), "op": st.sampled_from(["eq", "in", "is_null"]), "value": inner}),
    ),
    max_leaves=20,
)  # fmt: skip


@given(JSON)
def test_reading_refuses_in_one_way_only(tree: object) -> None:
    with suppress(UserError):
        parse_filter(tree)


def nested(depth: int) -> object:
    tree: object = {"field": "a", "op": "eq", "value": 1}
    for _ in range(depth - 1):
        tree = {"not": tree}
    return tree


LEAF = {"field": "a", "op": "eq", "value": 1}


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        (nested(9), "nested more than 8"),
        (nested(5000), "nested more than 8"),
        ({"and": [LEAF] * 101}, "/and/100 is one comparison too many"),
        ({"or": []}, "/or must be a list with at least one part"),
        ({"and": {}}, "/and must be a list"),
        ({"and": [LEAF], "or": [LEAF]}, "alone"),
        ({**LEAF, "x": 1}, "nothing else"),
        ({"not": {}}, "/not must have"),
        ({**LEAF, "op": "like"}, "/op must be one of"),
        ({**LEAF, "op": []}, "/op must be one of"),
        ({**LEAF, "op": "contain"}, 'Did you mean "contains"'),
        ({**LEAF, "op": "in", "value": list(range(501))}, "more than 500"),
        ({**LEAF, "op": "in", "value": [1, [2]]}, "/value/1 must be a text"),
        ({**LEAF, "value": [1]}, "must be a text"),
        ({**LEAF, "value": "a\0b"}, "no database stores"),
        ({**LEAF, "value": "\ud800"}, "no database stores"),
        ({**LEAF, "value": 2**63}, "64 bits"),
        ({**LEAF, "value": 10**5000}, "64 bits"),
        ({**LEAF, "value": math.inf}, "finite"),
        ({**LEAF, "value": None}, "is_null"),
        ({**LEAF, "value": "x" * 20_000}, "longer than 20000 bytes"),
        ({**LEAF, "field": "a.b.c.d.e"}, "at most 3 relations"),
        ({**LEAF, "field": "a__b__isnull"}, None),
        ({**LEAF, "field": "_meta"}, "field's name"),
        ([LEAF], "must be an object"),
        ("x", "must be an object"),
    ],
)
def test_what_is_no_filter_is_told(tree: object, words: str | None) -> None:
    if words is None:
        parse_filter(tree)
        return
    with pytest.raises(UserError) as error:
        parse_filter(tree)
    assert words in str(error.value)


def test_no_filter_means_every_record() -> None:
    assert parse_filter({}) == AllOf()
