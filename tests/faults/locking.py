"""Somebody else's lock: every writer of the queue waits for as long as the block lasts."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from core.runtime import Runtime


@asynccontextmanager
async def locked(host: Runtime) -> AsyncIterator[None]:
    """Hold the write lock of SQLite, or of PostgreSQL's `delivery`, on a connection of its own."""
    url = host.settings.DATABASE_URL
    if url.startswith("sqlite:"):
        connection = sqlite3.connect(url.removeprefix("sqlite://"), isolation_level=None, timeout=5)
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            connection.execute("ROLLBACK")
            connection.close()
        return
    other = await asyncpg.connect(url)
    try:
        async with other.transaction():
            await other.execute("LOCK TABLE delivery IN EXCLUSIVE MODE")
            yield
    finally:
        await other.close()
