"""Telling a statement that makes no sense from a database that is away: the first one is never tried again."""

from __future__ import annotations

import os
import resource

import pytest
from tortoise.exceptions import DoesNotExist, IntegrityError

from core.orm.outage import database_errors, is_outage
from core.runtime import Runtime, get_model

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("sql", ["SELECT FROM WHERE", "SELECT 1 FROM nowhere", "SELECT nothing FROM message"])
async def test_a_senseless_statement_is_no_outage(host: Runtime, sql: str) -> None:
    with pytest.raises(database_errors()) as caught:
        await host.database.fetch(sql)
    assert not is_outage(caught.value)


async def test_a_value_of_a_wrong_type_is_no_outage(host: Runtime) -> None:
    if host.database.dialect.name == "postgres":
        with pytest.raises(database_errors()) as caught:
            await host.database.fetch("SELECT id FROM message WHERE id = $1", ["seven"])
        assert not is_outage(caught.value)


async def test_a_record_that_is_not_there_or_twice_is_no_outage(host: Runtime) -> None:
    contacts = get_model("Contact")
    with pytest.raises(DoesNotExist) as missing:
        await contacts.get(id=0)
    key = await get_model("IdempotencyKey").create(scope="x", key="y", fingerprint="")
    with pytest.raises(IntegrityError) as twice:
        await get_model("IdempotencyKey").create(scope="x", key=key.key, fingerprint="")
    assert not is_outage(missing.value)
    assert not is_outage(twice.value)


async def test_a_session_that_is_ended_and_a_file_that_is_read_only_are_outages(host: Runtime) -> None:
    if host.database.dialect.name == "sqlite":
        await host.database.execute("PRAGMA query_only = ON")
        statement = "DELETE FROM message"
    else:
        statement = "SELECT pg_terminate_backend(pg_backend_pid())"
    with pytest.raises(database_errors()) as caught:
        await host.database.execute(statement)
    assert is_outage(caught.value)


async def test_who_has_no_file_descriptor_left_can_still_tell() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    probe = os.open(os.devnull, os.O_RDONLY)
    os.close(probe)
    resource.setrlimit(resource.RLIMIT_NOFILE, (probe, hard))
    try:
        with pytest.raises(OSError, match="Too many open files") as caught, open(os.devnull):
            pass
        assert isinstance(caught.value, database_errors())
        assert is_outage(caught.value)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
