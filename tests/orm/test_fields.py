from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from cryptography.fernet import Fernet, MultiFernet
from hypothesis import given
from hypothesis import strategies as st
from tortoise.exceptions import ValidationError

from core import clock
from core.errors import ConfigError
from core.orm import fields, schema
from core.orm.database import Database
from core.orm.record import Record
from tests.orm.opened import opened

pytestmark = pytest.mark.anyio

KEY, OTHER = Fernet(Fernet.generate_key()), Fernet(Fernet.generate_key())


class Event(Record):
    at = fields.DatetimeField(null=True)
    made_at = fields.DatetimeField(auto_now_add=True)
    kind = fields.SelectionField({"a": "A", "b": "B"}, null=True)
    key = fields.SecretField(null=True)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    token = fields.secret_cipher.set(MultiFernet([KEY]))
    async with opened(database_url, Event) as database:
        await schema.apply(database)
        yield database
    fields.secret_cipher.reset(token)


async def test_times_are_stored_and_compared_in_utc(database: Database) -> None:
    model = database.registry.get("Event")
    half_past_one = datetime(2030, 1, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    for hour in (0, 22, 23):
        await model.create(at=datetime(2029, 12, 31, hour, 45, tzinfo=UTC))
    assert await model.filter(at__lte=half_past_one).count() == 2
    await model.all().update(at=half_past_one)
    assert {(row.at, row.at.utcoffset()) for row in await model.all()} == {(half_past_one, timedelta(0))}


async def test_a_time_without_zone_is_refused(database: Database) -> None:
    with pytest.raises(ValidationError, match="a time without zone"):
        await database.registry.get("Event").create(at=datetime(2030, 1, 1))  # noqa: DTZ001
    with pytest.raises(ValidationError, match="a time without zone"):
        await database.registry.get("Event").filter(at__gt=datetime(2030, 1, 1)).count()  # noqa: DTZ001


async def test_the_clock_can_be_set(database: Database) -> None:
    then = datetime(2030, 1, 1, tzinfo=UTC)
    with clock.clock_at(then):
        made = await database.registry.get("Event").create()
    assert (await database.registry.get("Event").get(id=made.id)).made_at == then


async def test_a_selection_takes_only_its_values(database: Database) -> None:
    with pytest.raises(ValidationError, match="kind: 'c' is none of a, b"):
        await database.registry.get("Event").create(kind="c")
    with pytest.raises(ValidationError, match="kind: 'c' is none of a, b"):
        await database.registry.get("Event").all().update(kind="c")


async def test_a_secret_is_unreadable_in_the_row(database: Database) -> None:
    model = database.registry.get("Event")
    made = await model.create(key="hunter2")
    assert (await model.get(id=made.id)).key == "hunter2"
    (row,) = await database.fetch('SELECT key FROM "event"')
    assert "hunter2" not in row["key"]
    await model.filter(id=made.id).update(key=None)
    assert (await model.get(id=made.id)).key is None


async def test_keys_rotate_and_a_lost_key_is_told(database: Database) -> None:
    model = database.registry.get("Event")
    await model.create(key="hunter2")
    token = fields.secret_cipher.set(MultiFernet([OTHER, KEY]))
    try:
        assert (await model.get()).key == "hunter2"
        await model.all().update(key="again")
        fields.secret_cipher.set(MultiFernet([KEY]))
        lost = await model.get()
        with pytest.raises(ConfigError, match="The key was encrypted with another SECRET_KEY"):
            fields.readable(lost.key, "The key")
        assert lost.key == ""
        await lost.save()
        fields.secret_cipher.set(MultiFernet([OTHER]))
        assert fields.readable((await model.get()).key, "The key") == "again"
    finally:
        fields.secret_cipher.reset(token)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1))
def test_any_secret_comes_back(text: str) -> None:
    token = fields.secret_cipher.set(MultiFernet([KEY]))
    field = fields.SecretField()
    assert field.to_python_value(field.to_db_value(text, None)) == text
    fields.secret_cipher.reset(token)
