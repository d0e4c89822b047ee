"""Making the room for the database's writes end, and come back: what the disk does, without filling a real one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from core.runtime import Runtime

_REFUSE = """
    CREATE OR REPLACE FUNCTION no_room() RETURNS trigger AS $$ BEGIN
        RAISE EXCEPTION USING ERRCODE = '{code}', MESSAGE = '{words}';
    END $$ LANGUAGE plpgsql"""
NO_ROOM = ("53100", "could not extend file: No space left on device")


@asynccontextmanager
async def full(host: Runtime, *tables: str) -> AsyncIterator[None]:
    """Within the block nothing more can be stored: SQLite has no page left, PostgreSQL refuses as its disk is full."""
    database = host.database
    if database.dialect.name == "sqlite":
        (count,) = await database.fetch("PRAGMA page_count")
        await database.fetch("PRAGMA incremental_vacuum")
        await database.fetch(f"PRAGMA max_page_count = {count['page_count']}")
        try:
            yield
        finally:
            await database.fetch("PRAGMA max_page_count = 1073741823")
        return
    async with refusing(host, *NO_ROOM, *tables):
        yield


@asynccontextmanager
async def refusing(host: Runtime, code: str, words: str, *tables: str) -> AsyncIterator[None]:
    """Within the block every write to some tables of PostgreSQL fails with an SQLSTATE."""
    other = await asyncpg.connect(host.settings.DATABASE_URL)
    try:
        await other.execute(_REFUSE.format(code=code, words=words))
        for table in tables:
            when = f"BEFORE INSERT OR UPDATE ON {table} FOR EACH STATEMENT"
            await other.execute(f"CREATE TRIGGER no_room {when} EXECUTE FUNCTION no_room()")
        try:
            yield
        finally:
            for table in tables:
                await other.execute(f"DROP TRIGGER no_room ON {table}")
    finally:
        await other.close()
