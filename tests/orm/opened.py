"""A database opened for a handful of models, without addons or a host."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from core.models.schema_migration import SchemaMigration
from core.orm.database import Database
from core.orm.record import Record
from core.orm.registry import Registry


@asynccontextmanager
async def opened(url: str, *fragments: type[Record], **by_addon: list[type[Record]]) -> AsyncIterator[Database]:
    """Open `url` for the fragments of an addon `base`, and those of further addons by their names."""
    registry = Registry()
    registry.add("core", [SchemaMigration])
    registry.add("base", fragments)
    for addon, declared in by_addon.items():
        registry.add(addon, declared)
    registry.compose()
    try:
        async with Database(url, registry) as database:
            yield database
    finally:
        registry.close()
