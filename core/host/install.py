"""Installing, updating and uninstalling addons in an open host's database.

An update is the same whether it is the first or the hundredth, and a dry run is an update that is rolled back: what it
reports is what would be done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.contributions import AddonInfo
from core.errors import UnknownName, UserError, did_you_mean
from core.orm import schema
from core.orm.catalog import table_exists
from core.orm.step import take
from core.orm.transaction import rehearsal, transaction
from core.runtime import Caller, Runtime, acting_as, called_by, get_model
from core.seed.apply import apply_addon, remove_addon
from core.seed.report import SeedReport


@dataclass(frozen=True, slots=True)
class UpdateReport:
    """What an update did, or would do."""

    schema: schema.Plan
    seeds: tuple[SeedReport, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """A line for each change, and for each record that was left as a person edited it."""
        return (*self.schema.words, *(line for report in self.seeds for line in report.words))


async def plan_update(runtime: Runtime, *, demo: bool = False) -> UpdateReport:
    """Return what `update` would do, found out by doing it and rolling back."""
    async with rehearsal():
        return await update(runtime, demo=demo)


async def update(runtime: Runtime, *, demo: bool = False) -> UpdateReport:
    """Bring the database up to the loaded addons: schema, then each addon's records, with `demo` also the demo's.

    Raises SchemaError or SeedError; what came before the failing step stays done.
    """
    done = await update_schema(runtime)
    return UpdateReport(done, await seed(runtime, demo=demo))


async def plan_seed(runtime: Runtime, names: Sequence[str] = (), *, demo: bool = False) -> tuple[SeedReport, ...]:
    """Return what `seed` would do."""
    async with rehearsal():
        return await seed(runtime, names, demo=demo)


async def seed(runtime: Runtime, names: Sequence[str] = (), *, demo: bool = False) -> tuple[SeedReport, ...]:
    """Apply the shipped records of the named addons (all, when none is named) in dependency order."""
    known = {addon.name: addon for addon in runtime.addons}
    for name in names:
        _loaded(name, known)
    # What is shipped is the host's own doing, whoever asked for it; the report tells of it.
    with called_by(Caller()), acting_as(None):
        return tuple([await apply_addon(runtime, known[name], demo=demo) for name in known if name in (names or known)])


async def installed(runtime: Runtime) -> dict[str, str]:
    """Return the version of each installed addon by name; none in a database that was never updated."""
    model = get_model("Addon")
    if not await table_exists(runtime.database, model._meta.db_table):
        return {}
    return {row.name: row.version for row in await model.all().order_by("id")}


async def uninstall(runtime: Runtime, name: str, *, dry_run: bool = False) -> tuple[str, ...]:
    """Drop an addon's tables, the columns it added and the records it shipped, and return what went, in words.

    Raises UserError when another installed addon needs it, UnknownName when it is not loaded.
    """
    addon = _loaded(name, {addon.name: addon for addon in runtime.addons})
    there = await installed(runtime)
    needing = [other.name for other in runtime.addons if name in other.depends and other.name in there]
    if name == "core":
        raise UserError("core is what everything stands on and cannot be uninstalled")
    if name not in there:
        raise UserError(f"{name} is not installed")
    if needing:
        raise UserError(f"{', '.join(needing)} needs {name}; uninstall that first")
    async with rehearsal() if dry_run else transaction():
        await schema.lock(runtime.database)
        return await _uninstall(runtime, addon)


async def _uninstall(runtime: Runtime, addon: AddonInfo) -> tuple[str, ...]:
    words = await remove_addon(runtime, addon.name)
    drops = await schema.drops_of(runtime.database, addon.name)
    await take(runtime.database, drops.steps)
    await get_model("ModelRegistry").filter(addon=addon.name).update(active=False)
    await get_model("Addon").filter(name=addon.name).delete()
    await schema.forget(runtime.database, addon.name)
    left = ", ".join(other.name for other in runtime.addons if other.name != addon.name)
    return (*words, *drops.words, f"now set ADDONS to [{left}], or the next update installs {addon.name} again")


def _loaded(name: str, known: dict[str, AddonInfo]) -> AddonInfo:
    if name not in known:
        raise UnknownName(f"The addon {name} is not loaded; name it in ADDONS.{did_you_mean(name, known)}")
    return known[name]


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
