from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tortoise.manager import Manager

from core.errors import AddonError, UnknownName
from core.orm import fields, schema
from core.orm.record import Record
from core.orm.registry import Registry, snake_case
from tests.orm.opened import opened

pytestmark = pytest.mark.anyio


class Place(Record):
    kind = fields.SelectionField({"shop": "Shop"}, default="shop")
    title = fields.CharField(max_length=10)

    class Meta:
        indexes = (("kind",),)
        unique_together = (("kind", "title"),)

    async def greet(self) -> str:
        return "Hello"

    @classmethod
    async def all_kinds(cls) -> list[str]:
        return list(cls._meta.fields_map["kind"].choices)


def extension(name: str, word: str, **added: object) -> type[Record]:
    async def greet(self: object) -> str:
        return f"{await super(made, self).greet()}, {word}"  # type: ignore[misc]

    made: type[Record] = type(name, (Record,), {"extends": "Place", "greet": greet, **added})
    return made


async def test_extensions_add_fields_values_indexes_and_call_super() -> None:
    bank = extension(
        "Bank",
        "bank",
        kind=fields.more_choices({"bank": "Bank"}),
        safe=fields.IntField(default=1),
        Meta=type("Meta", (), {"indexes": (("safe",),)}),
    )
    cafe = extension("Cafe", "cafe", title=fields.CharField(max_length=99), kind=fields.more_choices({"cafe": "Cafe"}))
    async with opened("sqlite://:memory:", Place, money=[bank], food=[cafe]) as database:
        await schema.apply(database)
        model = database.registry.get("Place")
        made = await model.create(title="x" * 60, kind="cafe")
        assert await made.greet() == "Hello, bank, cafe"
        assert await model.all_kinds() == ["shop", "bank", "cafe"]
        assert (made.safe, model._meta.db_table) == (1, "place")
        assert model._meta.indexes == (("kind",), ("safe",))
        assert model._meta.unique_together == (("kind", "title"),)
        entry = database.registry.entry("Place")
        assert [entry.owner_of(name) for name in ("title", "kind", "safe")] == ["base", "base", "money"]


async def test_two_hosts_do_not_share_fields() -> None:
    more = extension("Bank", "bank", kind=fields.more_choices({"bank": "Bank"}))
    async with opened("sqlite://:memory:", Place, money=[more]) as first, opened("sqlite://:memory:", Place) as second:
        assert await first.registry.get("Place").all_kinds() == ["shop", "bank"]
        assert await second.registry.get("Place").all_kinds() == ["shop"]
    assert not [name for name in sys.modules if name.startswith("postroom_models_")]


async def test_two_hosts_do_not_share_the_manager_of_a_model() -> None:
    class Log(Record):
        class Meta:
            manager = Manager()

    async with opened("sqlite://:memory:", Log) as first, opened("sqlite://:memory:", Log) as second:
        models = [one.registry.get("Log") for one in (first, second)]
        assert [model._meta.manager.get_queryset().model for model in models] == models


async def test_mix_ins_bring_fields_and_none_leaves_one_out() -> None:
    class Dated(Record):
        abstract = True
        since = fields.DateField(null=True)
        until = fields.DateField(null=True)

    class Event(Dated):
        until = None
        name = fields.CharField(max_length=10)

    async with opened("sqlite://:memory:", Event) as database:
        assert set(database.registry.get("Event")._meta.db_fields) == {"id", "since", "name"}


async def test_an_unfetched_attribute_is_no_field_object() -> None:
    assert not hasattr(Place, "title")
    assert set(Place.declared_fields) == {"kind", "title"}


async def test_a_record_has_a_name_for_people() -> None:
    class Town(Record):
        label_field = "title"
        title = fields.CharField(max_length=10, default="")

    async with opened("sqlite://:memory:", Town) as database:
        model = database.registry.get("Town")
        assert (model(title="Bath").display_name, model(id=3).display_name) == ("Bath", "Town 3")


def test_an_unknown_model_is_told_with_the_nearest_name() -> None:
    registry = Registry()
    registry.add("base", [Place])
    registry.compose()
    registry.close()
    with pytest.raises(UnknownName, match=r'There is no model "Plaec"\. Did you mean "Place"\?'):
        registry.get("Plaec")
    assert "Place" in registry
    assert "Plaec" not in registry


def test_a_field_name_of_the_orm_is_told() -> None:
    class Bad(Record):
        filter = fields.IntField()

    registry = Registry()
    registry.add("base", [Bad])
    with pytest.raises(AddonError, match=r"base: .*Bad.*filter"):
        registry.compose()


@pytest.mark.parametrize(
    ("name", "snake"), [("CrmLead", "crm_lead"), ("HTMLPage", "html_page"), ("A", "a"), ("SmsV2Item", "sms_v2_item")]
)
def test_tables_are_named_in_snake_case(name: str, snake: str) -> None:
    assert snake_case(name) == snake


@given(st.from_regex(r"[A-Z][A-Za-z0-9]{0,20}", fullmatch=True))
def test_snake_case_only_adds_underscores(name: str) -> None:
    assert snake_case(name).replace("_", "") == name.lower()


def test_switches_name_fields_that_are_there() -> None:
    class Ticket(Record):
        _money = ("prize",)
        _track = ("state",)
        price = fields.DecimalField(max_digits=8, decimal_places=2, default=0)
        state = fields.CharField(max_length=8, default="")

    registry = Registry()
    registry.add("desk", [Ticket])
    with pytest.raises(
        AddonError, match=r'_money names "prize", which is no field of Ticket\. Did you mean "price"'
    ) as told:
        registry.compose()
    assert len(told.value.faults) == 1
