from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from tortoise.exceptions import BaseORMException

from core.orm import fields, schema
from core.orm.database import Database
from core.orm.dialect import Children
from core.orm.insert import blank_row, insert_many, insert_rows, stored_record
from core.orm.record import Record
from tests.orm.opened import opened

pytestmark = pytest.mark.anyio
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Parcel(Record):
    name = fields.CharField(max_length=10)
    kind = fields.SelectionField({"big": "Big", "small": "Small"}, default="small")
    note = fields.TextField(null=True)
    weight = fields.IntField(default=1)
    is_fragile = fields.BooleanField(default=False)
    sent_at = fields.DatetimeField(null=True)
    tags = fields.JSONField(default=list)
    created_at = fields.DatetimeField(auto_now_add=True)


class Label(Record):
    parcel_id = fields.BigIntField()
    words = fields.CharField(max_length=10)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with opened(database_url, Parcel, Label) as database:
        await schema.apply(database)
        yield database


def _row(database: Database, **values: Any) -> dict[str, Any]:
    return {**blank_row(database.registry.get("Parcel")), **values}


LABELS = "INSERT INTO label (parcel_id, words) SELECT {parent}, given.words FROM {rows}"
_WORDS = {"words": "text"}


async def _read(database: Database) -> list[dict[str, Any]]:
    return await database.registry.get("Parcel").all().order_by("id").values()  # type: ignore[no-any-return]


@pytest.mark.parametrize("count", [1, 2, 499, 1203])
async def test_what_is_shared_and_what_is_not_is_stored_in_order(database: Database, count: int) -> None:
    tags = ["a", {"b": [1]}]
    rows = [
        _row(database, name=f"n{number}", sent_at=AT, tags=tags, is_fragile=True, note="x" if number % 2 else None)
        for number in range(count)
    ]
    ids = list(await insert_rows(database, database.registry.get("Parcel"), rows))
    stored = await _read(database)
    assert [one["id"] for one in stored] == ids
    assert [one["name"] for one in stored] == [f"n{number}" for number in range(count)]
    assert [one["note"] for one in stored] == ["x" if number % 2 else None for number in range(count)]
    assert all(one["tags"] == tags and one["sent_at"] == AT and one["is_fragile"] is True for one in stored)
    assert all(one["kind"] == "small" and one["created_at"] is not None for one in stored)


async def test_a_record_of_a_row_is_saved_and_shares_nothing(database: Database) -> None:
    model = database.registry.get("Parcel")
    shared: dict[str, Any] = {"deep": ["x"]}
    rows = [_row(database, name=name, tags=shared) for name in ("one", "two")]
    ids = await insert_rows(database, model, rows)
    one, two = (stored_record(model, row, row_id) for row, row_id in zip(rows, ids, strict=True))
    one.tags["deep"].append("y")
    one.name = "changed"
    await one.save()
    assert two.tags == shared == {"deep": ["x"]}
    assert [row["name"] for row in await _read(database)] == ["changed", "two"]
    assert one.created_at == (await model.get(id=one.pk)).created_at


async def test_children_go_to_their_own_parents(database: Database) -> None:
    model = database.registry.get("Parcel")
    for start in (0, 700):
        numbers = range(start, start + 700)
        labels = Children(LABELS, _WORDS, [[(f"{n}.{part}",) for part in range(n % 3)] for n in numbers])
        ids = await insert_rows(database, model, [_row(database, name=str(n)) for n in numbers], labels)
        rows = await database.registry.get("Label").filter(parcel_id__in=list(ids)).values_list("parcel_id", "words")
        wanted = {(ids[n - start], f"{n}.{part}") for n in numbers for part in range(n % 3)}
        assert set(rows) == wanted


async def test_parents_may_have_no_children_or_very_many(database: Database) -> None:
    model = database.registry.get("Parcel")
    for each in (0, 9000):
        words = [[(str(number),) for number in range(each)], []]
        ids = await insert_rows(
            database, model, [_row(database, name=n) for n in "ab"], Children(LABELS, _WORDS, words)
        )
        assert await database.registry.get("Label").filter(parcel_id=ids[0]).count() == each
        assert await database.registry.get("Label").filter(parcel_id=ids[1]).count() == 0


@pytest.mark.parametrize("wrong", [{"name": "x" * 11}, {"kind": "huge"}, {"sent_at": datetime(2026, 1, 1)}])  # noqa: DTZ001
@pytest.mark.parametrize("at", [0, 700])
async def test_one_wrong_value_among_many_stores_nothing(database: Database, wrong: dict[str, Any], at: int) -> None:
    rows = [_row(database, name=f"n{number}") for number in range(1000)]
    rows[at] |= wrong
    with pytest.raises((BaseORMException, ValueError)):
        await insert_rows(database, database.registry.get("Parcel"), rows)
    assert await _read(database) == []


async def test_records_that_are_alike_get_an_id_each(database: Database) -> None:
    model = database.registry.get("Parcel")
    records = [model(name="same") for _ in range(3)]
    await insert_many(database, records)
    assert [one.pk for one in records] == [row["id"] for row in await _read(database)]
    assert all(one._saved_in_db for one in records)
    await insert_many(database, [])
