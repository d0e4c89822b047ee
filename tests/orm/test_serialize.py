from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from cryptography.fernet import Fernet, MultiFernet

from core.orm import fields, schema
from core.orm.database import Database
from core.orm.record import Record
from core.orm.serialize import plain_data
from tests.orm.opened import opened

pytestmark = pytest.mark.anyio


class Country(Record):
    name = fields.CharField(max_length=20)


class Client(Record):
    _private = ("rating",)

    name = fields.CharField(max_length=20)
    rating = fields.IntField(default=3)
    key = fields.SecretField(default="")
    logo = fields.BinaryField(null=True)
    country = fields.ForeignKeyField("models.Country", null=True, related_name="clients")


class Tag(Record):
    name = fields.CharField(max_length=20)


class Invoice(Record):
    _rendered_lists = ("lines",)
    label_field = "number"

    number = fields.CharField(max_length=20)
    total = fields.DecimalField(max_digits=8, decimal_places=2)
    on = fields.DateField()
    at = fields.DatetimeField()
    extra = fields.JSONField(default=dict)
    client = fields.ForeignKeyField("models.Client", null=True, related_name="invoices")
    tags = fields.ManyToManyField("models.Tag", related_name="invoices", through="invoice_tag")


class Line(Record):
    name = fields.CharField(max_length=20)
    invoice = fields.ForeignKeyField("models.Invoice", related_name="lines")


async def make(database: Database) -> Any:
    get = database.registry.get
    country = await get("Country").create(name="Poland")
    client = await get("Client").create(name="Ada", key="hunter2", logo=b"png", country=country)
    at = datetime(2030, 1, 1, tzinfo=UTC)
    invoice = await get("Invoice").create(
        number="I1", total=Decimal("1.50"), on=date(2030, 1, 1), at=at, extra={"a": 1}, client=client
    )
    await invoice.tags.add(await get("Tag").create(name="new"))
    await get("Line").create(name="Bolts", invoice=invoice)
    return await get("Invoice").get(id=invoice.id)


@pytest.fixture
async def database() -> AsyncIterator[Database]:
    token = fields.secret_cipher.set(MultiFernet([Fernet(Fernet.generate_key())]))
    async with opened("sqlite://:memory:", Country, Client, Tag, Invoice, Line) as database:
        await schema.apply(database)
        yield database
    fields.secret_cipher.reset(token)


async def test_a_record_becomes_plain_data_to_a_depth(database: Database) -> None:
    data = await plain_data(await make(database))
    assert (data["display_name"], data["total"], data["extra"]) == ("I1", Decimal("1.50"), {"a": 1})
    assert data["client"]["country"]["name"] == "Poland"
    assert [line["name"] for line in data["lines"]] == ["Bolts"]
    assert [tag["name"] for tag in data["tags"]] == ["new"]
    assert "hunter2" not in str(data)
    assert not {"rating", "key", "logo", "invoices"} & set(data["client"])
    assert_plain(data)


async def test_the_last_level_has_columns_only(database: Database) -> None:
    invoice = await make(database)
    flat = await plain_data(invoice, depth=0)
    assert not {"client", "lines", "tags"} & set(flat)
    assert flat["client_id"] == invoice.client_id
    assert "country" not in (await plain_data(invoice, depth=1))["client"]


async def test_a_relation_that_is_empty_is_none(database: Database) -> None:
    await make(database)
    await database.registry.get("Invoice").all().update(client_id=None)
    assert (await plain_data(await database.registry.get("Invoice").get()))["client"] is None


def assert_plain(value: Any) -> None:
    if isinstance(value, dict):
        for item in value.values():
            assert_plain(item)
    elif isinstance(value, list):
        for item in value:
            assert_plain(item)
    else:
        assert type(value) in (str, int, float, bool, type(None), Decimal, date, datetime)


class ClientOfShop(Record):
    extends = "Client"
    _private = ("pin",)

    pin = fields.CharField(max_length=20, default="")


async def test_what_a_model_keeps_to_itself_stays_so_when_it_is_extended() -> None:
    token = fields.secret_cipher.set(MultiFernet([Fernet(Fernet.generate_key())]))
    async with opened("sqlite://:memory:", Country, Client, Tag, Invoice, Line, shop=[ClientOfShop]) as database:
        await schema.apply(database)
        data = await plain_data(await database.registry.get("Client").create(name="Ada", pin="1234"))
    fields.secret_cipher.reset(token)
    assert data["name"] == "Ada"
    assert not {"rating", "pin"} & set(data)
