from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tortoise.indexes import PartialIndex

from core.errors import SchemaError
from core.orm import fields, schema
from core.orm.catalog import read_catalog
from core.orm.database import Database
from core.orm.record import Record
from core.orm.step import take
from core.orm.transaction import transaction
from tests.orm.opened import opened

pytestmark = pytest.mark.anyio


def person() -> type[Record]:
    class Person(Record):
        name = fields.CharField(max_length=50)
        note = fields.TextField(default="")

    return Person


def person_with(**added: object) -> type[Record]:
    return type("Person", (Record,), {"name": fields.CharField(max_length=50), **added})


async def update(database: Database) -> schema.Plan:
    """Apply, and see that nothing is left to do."""
    done = await schema.apply(database)
    assert await schema.plan(database) == schema.Plan()
    assert await schema.schema_differs(database) == ()
    return done


async def test_a_new_database_gets_every_table_and_a_second_plan_is_empty(database_url: str) -> None:
    class Team(Record):
        name = fields.CharField(max_length=50, unique=True)
        members = fields.ManyToManyField("models.Person", related_name="teams", through="team_person")

    class Ticket(Record):
        team = fields.ForeignKeyField("models.Team", null=True, related_name="tickets", on_delete=fields.SET_NULL)
        parent = fields.ForeignKeyField("models.Ticket", null=True, related_name="children")
        state = fields.SelectionField({"open": "Open", "shut": "Shut"}, default="open")
        due_at = fields.DatetimeField(null=True)
        price = fields.DecimalField(max_digits=10, decimal_places=2, default=Decimal("1.50"))
        extra = fields.JSONField(default=dict)

        class Meta:
            indexes = (
                ("team", "state"),
                PartialIndex(fields=("due_at",), condition={"state": "open"}),
                PartialIndex(fields=("due_at",), condition={"state": "shut"}),
            )
            unique_together = (("team", "parent"),)

    async with opened(database_url, Ticket, Team, person()) as database:
        planned = await schema.plan(database)
        assert planned.faults == ()
        assert await schema.schema_differs(database) == planned.words
        with pytest.raises(SchemaError, match="postroom init"):
            await schema.require_current_schema(database)
        assert await update(database) == planned
        await schema.require_current_schema(database)

        catalog = await read_catalog(database)
        assert set(catalog) >= {"person", "team", "team_person", "ticket", "schema_migration"}
        ticket = [sql for name, sql in catalog["ticket"].indexes.items() if not name.endswith("_pkey")]
        assert len(ticket) == 4
        assert sum("WHERE" in sql for sql in ticket) == 2
        model = database.registry.get("Ticket")
        made = await model.create(due_at=datetime(2026, 1, 1, tzinfo=UTC))
        found = await model.get(id=made.id)
        assert (found.price, found.state, found.extra) == (Decimal("1.50"), "open", {})


async def test_new_fields_keep_old_rows_and_give_them_defaults(database_url: str) -> None:
    async with opened(database_url, person()) as database:
        await update(database)
        await database.registry.get("Person").create(name="Ada")
    later = {
        "note": fields.TextField(default=""),
        "score": fields.IntField(default=7, db_index=True),
        "price": fields.DecimalField(max_digits=8, decimal_places=2, default=Decimal("1.50")),
        "tags": fields.JSONField(default=lambda: ["it's"]),
        "active": fields.BooleanField(default=True),
        "since": fields.DatetimeField(auto_now_add=True),
        "code": fields.CharField(max_length=10, null=True, unique=True),
        "boss": fields.ForeignKeyField("models.Person", null=True, related_name="staff", on_delete=fields.SET_NULL),
    }
    async with opened(database_url, person_with(**later)) as database:
        await update(database)
        ada = await database.registry.get("Person").get(name="Ada")
        assert (ada.score, ada.price, ada.tags, ada.active) == (7, Decimal("1.50"), ["it's"], True)
        assert (ada.code, ada.boss_id) == (None, None)
        assert ada.since.tzinfo is not None
        catalog = await read_catalog(database)
        assert len([name for name in catalog["person"].indexes if name.startswith(("idx", "uniq"))]) == 2
        if database.dialect.name == "postgres":
            assert not catalog["person"].columns["score"].null


async def test_a_required_field_without_default_is_told_when_there_are_rows(database_url: str) -> None:
    async with opened(database_url, person()) as database:
        await update(database)
    demanding = person_with(code=fields.CharField(max_length=5))
    async with opened(database_url, demanding) as database:
        assert (await schema.plan(database)).faults == ()
        await database.execute("INSERT INTO person (name, note) VALUES ('Ada', '')")
        with pytest.raises(SchemaError, match=r"Person\.code is new.*default or null=True"):
            await schema.apply(database)
        assert "code" not in (await read_catalog(database))["person"].columns


async def test_a_column_that_no_model_wants_stays_and_stops_no_insert(database_url: str) -> None:
    boss = fields.ForeignKeyField("models.Person", related_name="staff", null=True)
    rank = fields.IntField(db_index=True)
    async with opened(database_url, person_with(rank=rank, boss=boss)) as database:
        await update(database)
        await database.registry.get("Person").create(name="Ada", rank=3)
    async with opened(database_url, person_with()) as database:
        done = await update(database)
        assert len(done.words) == 1
        await database.registry.get("Person").create(name="Bob")
        rows = await database.fetch("SELECT name, rank FROM person ORDER BY name")
        assert rows == [{"name": "Ada", "rank": 3}, {"name": "Bob", "rank": None}]


async def test_widening_is_done_and_a_smaller_limit_leaves_the_column(database_url: str) -> None:
    def sized(length: int, digits: int, number: type[fields.Field[int]]) -> type[Record]:
        return person_with(
            code=fields.CharField(max_length=length, default=""),
            price=fields.DecimalField(max_digits=digits, decimal_places=2, default=Decimal(0)),
            size=number(default=0),
        )

    async with opened(database_url, sized(5, 6, fields.IntField)) as database:
        await update(database)
    async with opened(database_url, sized(9, 12, fields.BigIntField)) as database:
        done = await update(database)
        assert len(done.steps) == (3 if database.dialect.name == "postgres" else 0)
        await database.registry.get("Person").create(name="A", code="x" * 9, price=Decimal("1234567890.25"), size=2**40)
    async with opened(database_url, sized(3, 4, fields.IntField)) as database:
        assert (await update(database)).steps == ()


async def test_text_of_a_limit_may_become_text_without(database_url: str) -> None:
    async with opened(database_url, person_with(code=fields.CharField(max_length=5, default=""))) as database:
        await update(database)
    async with opened(database_url, person_with(code=fields.TextField(default=""))) as database:
        await update(database)
        await database.registry.get("Person").create(name="A", code="x" * 300)


async def test_a_field_may_lose_its_need_of_a_value_and_get_it_back(database_url: str) -> None:
    strict = person_with(rank=fields.IntField(default=1, db_index=True))
    async with opened(database_url, strict) as database:
        await update(database)
    async with opened(database_url, person_with(rank=fields.IntField(null=True, db_index=True))) as database:
        await update(database)
        await database.registry.get("Person").create(name="Ada", rank=None)
    async with opened(database_url, person_with(rank=fields.IntField(default=1, db_index=True))) as database:
        await update(database)
        if database.dialect.name == "postgres":
            assert (await database.registry.get("Person").get(name="Ada")).rank == 1


async def test_what_a_foreign_key_does_on_delete_follows_the_model(database_url: str) -> None:
    def pair(on_delete: fields.OnDelete) -> tuple[type[Record], type[Record]]:
        class Owner(Record):
            name = fields.CharField(max_length=50)

        class Pet(Record):
            owner = fields.ForeignKeyField("models.Owner", null=True, related_name="pets", on_delete=on_delete)

        return Owner, Pet

    async with opened(database_url, *pair(fields.CASCADE)) as database:
        await update(database)
        owner = await database.registry.get("Owner").create(name="Ada")
        await database.registry.get("Pet").create(owner=owner)
    async with opened(database_url, *pair(fields.SET_NULL)) as database:
        await update(database)
        await database.registry.get("Owner").all().delete()
        assert [pet.owner_id for pet in await database.registry.get("Pet").all()] == [None]


async def test_another_type_or_target_needs_a_migration_file(database_url: str) -> None:
    class Other(Record):
        name = fields.CharField(max_length=50)

    def with_link(target: str, rank: fields.Field[object]) -> type[Record]:
        return person_with(link=fields.ForeignKeyField(target, null=True, related_name="links"), rank=rank)

    async with opened(database_url, Other, with_link("models.Other", fields.IntField(null=True))) as database:
        await update(database)
    async with opened(database_url, Other, with_link("models.Person", fields.DateField(null=True))) as database:
        link, rank = sorted((await schema.plan(database)).faults)
        assert link.endswith("points at other in the database and at person in the model: write a migration file")
        assert rank.casefold().startswith("person.rank is int")
        assert set(await schema.schema_differs(database)) == {link, rank}


async def test_faults_of_declarations_are_told_together(database_url: str) -> None:
    class Egg(Record):
        hen = fields.ForeignKeyField("models.Hen", related_name="eggs")

    class Hen(Record):
        egg = fields.ForeignKeyField("models.Egg", related_name="hens", null=True)
        age = fields.IntField(db_default=1)

        class Meta:
            indexes = (("agee",),)

    class Coop(Record):
        class Meta:
            table = "hen"

    async with opened(database_url, Egg, Hen, Coop) as database:
        with pytest.raises(SchemaError) as caught:
            await schema.apply(database)
    told = "\n".join(caught.value.faults)
    assert "Hen.age: db_default is not supported" in told
    assert 'an index names the field agee, which is not there. Did you mean "age"?' in told
    assert "Coop and Hen both use the table hen" in told


async def test_a_circle_of_required_foreign_keys_is_named(database_url: str) -> None:
    class Egg(Record):
        hen = fields.ForeignKeyField("models.Hen", related_name="eggs")

    class Hen(Record):
        egg = fields.ForeignKeyField("models.Egg", related_name="hens")

    async with opened(database_url, Egg, Hen) as database:
        with pytest.raises(
            SchemaError, match=r"circle: (Egg -> Hen -> Egg|Hen -> Egg -> Hen); let one of them be empty"
        ):
            await schema.apply(database)


async def test_tables_may_point_at_each_other_where_one_may_be_empty(database_url: str) -> None:
    class Egg(Record):
        hen = fields.ForeignKeyField("models.Hen", related_name="eggs", on_delete=fields.CASCADE)

    class Hen(Record):
        name = fields.CharField(max_length=20)
        oldest = fields.ForeignKeyField(
            "models.Egg", related_name="oldest_of", null=True, db_index=True, on_delete=fields.SET_NULL
        )
        nest = fields.ForeignKeyField("models.Nest", related_name="hens", null=True)

    class Nest(Record):
        best = fields.ForeignKeyField("models.Egg", related_name="best_of", null=True)

    async with opened(database_url, farm=[Egg, Hen, Nest]) as database:
        await update(database)
        hen = await database.registry.get("Hen").create(name="Berta")
        egg = await database.registry.get("Egg").create(hen=hen)
        await database.registry.get("Hen").filter(id=hen.id).update(oldest_id=egg.id)
        await egg.delete()
        assert (await database.registry.get("Hen").get()).oldest_id is None
        async with transaction():
            await take(database, (await schema.drops_of(database, "farm")).steps)
        assert not {"egg", "hen", "nest"} & set(await read_catalog(database))


async def test_what_the_database_refuses_leaves_nothing_half_done(database_url: str) -> None:
    async with opened(database_url, person()) as database:
        await update(database)
        for _ in range(2):
            await database.registry.get("Person").create(name="Ada")
    unique = person_with(
        name=fields.CharField(max_length=50, unique=True),
        note=fields.TextField(default=""),
        more=fields.IntField(default=1),
    )
    async with opened(database_url, unique) as database:
        with pytest.raises(SchemaError, match=r"create unique index on person \(name\)"):
            await schema.apply(database)
        assert "more" not in (await read_catalog(database))["person"].columns


async def test_two_hosts_that_start_together_update_once(database_url: str) -> None:
    async def start() -> schema.Plan:
        async with opened(database_url, person()) as database:
            return await schema.apply(database)

    first, second = await asyncio.gather(asyncio.create_task(start()), asyncio.create_task(start()))
    assert sorted([bool(first.steps), bool(second.steps)]) == [False, True]


async def test_a_host_of_another_version_is_told(database_url: str) -> None:
    async with opened(
        database_url, person_with(note=fields.TextField(default=""), more=fields.IntField(null=True))
    ) as newer:
        await update(newer)
    async with opened(database_url, person()) as older:
        assert (await schema.plan(older)).steps == ()
        assert "another version" in (await schema.schema_differs(older))[0]
        with pytest.raises(SchemaError, match="run `postroom update`"):
            await schema.require_current_schema(older)


async def test_an_uninstall_drops_tables_and_added_columns_only(database_url: str) -> None:
    class Team(Record):
        name = fields.CharField(max_length=50)
        fans = fields.ManyToManyField("models.Person", related_name="fan_of", through="team_fan")

    class PersonInTeam(Record):
        extends = "Person"
        team = fields.ForeignKeyField("models.Team", null=True, related_name="people")
        score = fields.IntField(default=1, db_index=True)
        friends = fields.ManyToManyField("models.Person", related_name="friend_of", through="person_friend")
        name = fields.CharField(max_length=100)

    async with opened(database_url, person(), sport=[Team, PersonInTeam]) as database:
        await update(database)
        team = await database.registry.get("Team").create(name="A")
        await database.registry.get("Person").create(name="Ada", team=team)
        drops = await schema.drops_of(database, "sport")
        assert set(drops.words) == {
            "drop column person.team_id",
            "drop column person.score",
            "drop table team_fan with 0 rows",
            "drop table team with 1 rows",
            "drop table person_friend with 0 rows",
        }
        async with transaction():
            await take(database, drops.steps)
        catalog = await read_catalog(database)
        assert set(catalog["person"].columns) == {"id", "name", "note"}
        assert not {"team", "team_fan", "person_friend"} & set(catalog)
        assert (await schema.drops_of(database, "sport")).steps == ()
    async with opened(database_url, person()) as database:
        await update(database)
        assert [row.name for row in await database.registry.get("Person").all()] == ["Ada"]


CHANGES: dict[str, list[Callable[[], fields.Field[Any]]]] = {
    "text": [
        lambda: fields.CharField(max_length=5, default="x", db_index=True),
        lambda: fields.CharField(max_length=9, null=True),
        lambda: fields.TextField(default=""),
    ],
    "size": [lambda: fields.IntField(default=1), lambda: fields.BigIntField(null=True, db_index=True)],
    "price": [
        lambda: fields.DecimalField(max_digits=6, decimal_places=2, default=Decimal(1)),
        lambda: fields.DecimalField(max_digits=9, decimal_places=4, null=True),
    ],
    "boss": [
        lambda: fields.ForeignKeyField("models.Person", null=True, related_name="staff", on_delete=fields.CASCADE),
        lambda: fields.ForeignKeyField("models.Person", null=True, related_name="staff", on_delete=fields.SET_NULL),
    ],
}
versions = st.fixed_dictionaries({}, optional={name: st.integers(0, len(kinds) - 1) for name, kinds in CHANGES.items()})


@given(st.lists(versions, min_size=2, max_size=4))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_way_through_versions_ends_in_an_empty_plan_with_all_rows(
    database_url: str, path: list[dict[str, int]]
) -> None:
    for number, version in enumerate(path):
        declared = person_with(**{name: CHANGES[name][kind]() for name, kind in version.items()})
        async with opened(database_url, declared) as database:
            await update(database)
            await database.registry.get("Person").create(name=f"p{number}")
    async with opened(database_url, person_with()) as database:
        await update(database)
        assert {row.name for row in await database.registry.get("Person").all()} >= {f"p{n}" for n in range(len(path))}
        async with transaction():
            await database.execute('DROP TABLE "person"')
