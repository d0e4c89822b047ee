"""Installing, updating and uninstalling addons in an open host's database.

An update is the same whether it is the first or the hundredth, and a dry run is an update that is rolled back: what it
reports is what would be done.
"""

from __future__ import annotations

from core.orm import schema
from core.orm.transaction import transaction
from core.runtime import Runtime, get_model


async def update_schema(runtime: Runtime) -> schema.Plan:
    """Bring the schema up to the loaded addons, and the rows that stand for models and addons; no shipped records."""
    async with transaction():
        done = await schema.apply(runtime.database, runtime.addons)
        await _write_models(runtime)
        await _write_addons(runtime)
    return done


async def _write_models(runtime: Runtime) -> None:
    """Keep a ModelRegistry row per model; the row of a vanished model stays, inactive, since records point at it."""
    model = get_model("ModelRegistry")
    wanted = {entry.name: entry.addon for entry in runtime.registry}
    rows = {row.identifier: row for row in await model.all()}
    await model.bulk_create(
        [model(identifier=name, name=name, addon=addon) for name, addon in wanted.items() if name not in rows]
    )
    for name, row in rows.items():
        state = (wanted.get(name, row.addon), name in wanted)
        if state != (row.addon, row.active):
            row.addon, row.active = state
            await row.save(update_fields=["addon", "active"])


async def _write_addons(runtime: Runtime) -> None:
    model = get_model("Addon")
    rows = {row.name: row for row in await model.all()}
    for addon in runtime.addons:
        row = rows.get(addon.name)
        if row is None:
            await model.create(name=addon.name, title=addon.title, version=addon.version)
        elif (row.title, row.version) != (addon.title, addon.version):
            row.title, row.version = addon.title, addon.version
            await row.save(update_fields=["title", "version", "updated_at"])
