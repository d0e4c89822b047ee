"""Seed records into the database: created, brought up to date where nobody edited them, archived when dropped.

Each file is one transaction. What a file shipped is remembered per field (`SeedRecord.shipped`), and only a field that
still holds it is overwritten. A record that a person deleted does not come back.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from tortoise.exceptions import IntegrityError, ValidationError

from core.contributions import AddonInfo
from core.errors import PostroomError, SeedError, did_you_mean
from core.orm import schema
from core.orm.transaction import transaction
from core.runtime import Runtime, get_model
from core.seed import compare
from core.seed.report import Outcome, RecordReport, SeedReport
from core.seed.resolve import Reference, ResolvedFile, ResolvedRecord, resolve_addon


async def apply_addon(runtime: Runtime, addon: AddonInfo, *, demo: bool = False) -> SeedReport:
    """Apply the seed files of an addon, with `demo` also its demo's, and return what was done to each record.

    Raises SeedError: before anything is written for faults in the files themselves, and with the one file undone for
    what only storing a record shows.
    """
    files = resolve_addon(addon, runtime.registry)
    seeding = _Seeding(runtime, addon.name, {(row.addon, row.identifier): row for row in await _rows()})
    # A demo's records may point at those of another addon's demo, which nobody asked for either.
    wanted = [file for file in files if demo or not file.demo]
    await seeding.check(wanted)
    reports: list[RecordReport] = []
    for file in wanted:
        async with transaction():
            await schema.lock(runtime.database)
            reports += await seeding.apply(file)
    async with transaction():
        await schema.lock(runtime.database)
        reports += await seeding.archive({record.identifier for file in files for record in file.records})
    return SeedReport(addon.name, tuple(reports))


async def remove_addon(runtime: Runtime, addon: str) -> list[str]:
    """Delete the records that an addon's files made in other addons' models, and forget them all; return the words."""
    words = []
    for row in await _rows(addon=addon, order="-id"):
        model = _model(runtime, row)
        if model is not None and runtime.registry.entry(row.model).addon != addon:
            deleted = await model.filter(id=row.record_id).delete()
            words += [f"delete {row.model} {row.identifier}"] if deleted else []
        await row.delete()
    return words


class _Seeding:
    """The seeding of one addon; `rows` are all SeedRecord rows by (addon, identifier)."""

    def __init__(self, runtime: Runtime, addon: str, rows: dict[tuple[str, str], Any]):
        self._runtime = runtime
        self._addon = addon
        self._rows = rows

    async def check(self, files: Sequence[ResolvedFile]) -> None:
        """Raise SeedError with every reference that leads nowhere and every value that its model refuses."""
        faults: list[str] = []
        coming = {record.identifier: file for file in files for record in file.records}
        ready: dict[str, str] = {}
        for file in files:
            ready |= {record.identifier: record.model.__name__ for record in file.records}
            for record in file.records:
                for name, reference in record.references():
                    fault = await self._fault_of(reference, ready, coming)
                    faults += [record.fault(fault, name)] if fault else []
                faults += [record.fault(fault) for fault in (*self._twins(record), *await _faults_of_model(record))]
        if faults:
            raise SeedError(f"The records of {self._addon} cannot be applied, and nothing was:", faults)

    def _twins(self, record: ResolvedRecord) -> list[str]:
        """Say whose record of this model has the identifier already, which is one field for all addons."""
        named = str(record.values.get("identifier"))
        twins = [row for row in self._rows.values() if (row.identifier, row.model) == (named, record.model.__name__)]
        return [
            f"the addon {row.addon} has a {row.model} with this identifier; choose another"
            for row in twins
            if row.addon != self._addon
        ]

    async def apply(self, file: ResolvedFile) -> list[RecordReport]:
        """Apply one file in the running transaction."""
        # Read again behind the lock: another host may just have applied the same file.
        self._rows |= {(row.addon, row.identifier): row for row in await _rows(addon=self._addon)}
        reports = []
        for record in file.records:
            try:
                reports.append(await self._apply(record, file.name))
            except (PostroomError, ValidationError, IntegrityError, ValueError) as error:
                raise SeedError(
                    f"{file.name} cannot be applied, and nothing of it was:", [_told(record, error)]
                ) from error
        return reports

    async def archive(self, present: Collection[str]) -> list[RecordReport]:
        """Archive the records that are in no file any more, in the running transaction."""
        reports = []
        for row in await _rows(addon=self._addon, active=True):
            if row.identifier not in present:
                reports += await self._drop(row)
        return reports

    async def _fault_of(
        self, reference: Reference, ready: Mapping[str, str], coming: Mapping[str, ResolvedFile]
    ) -> str:
        """Say why a reference leads nowhere; empty when its target is there or comes before."""
        own = reference.addon in ("", self._addon)
        if own and reference.identifier in ready:
            found = ready[reference.identifier]
        elif (row := self._row(reference)) is not None:
            found = row.model
        elif await _named(reference) is not None:
            return ""
        elif own and reference.identifier in coming:
            return f'"{reference}" comes later, in {coming[reference.identifier].name}; name that file under depends'
        else:
            known = [*coming, *(f"{addon}.{identifier}" for addon, identifier in self._rows), *await _names(reference)]
            return f'there is no {reference.model} "{reference}".{did_you_mean(str(reference), known)}'
        return "" if found == reference.model else f'"{reference}" is a {found}; this wants a {reference.model}'

    def _row(self, reference: Reference) -> Any:
        return self._rows.get((reference.addon or self._addon, reference.identifier))

    async def _apply(self, record: ResolvedRecord, file: str) -> RecordReport:
        row = self._rows.get((self._addon, record.identifier))
        if row is None:
            return await self._create(record, file)
        if row.model != record.model.__name__:
            raise PostroomError(f"it was a {row.model} before; give the {record.model.__name__} another identifier")
        stored = await record.model.get_or_none(id=row.record_id)
        if stored is None:
            return _report(record, Outcome.skipped, reason="it was deleted here")
        if record.source.apply_once:
            await _write_row(row, file=file, apply_once=True, active=True)
            return _report(record, Outcome.skipped)
        return await self._update(record, row, stored, file)

    async def _create(self, record: ResolvedRecord, file: str) -> RecordReport:
        for name, reference in record.references():
            if not await get_model(reference.model).exists(id=await self._target(reference)):
                return _report(record, Outcome.skipped, reason=f'"{reference}", its {name}, was deleted here')
        values = await self._values(record)
        made = record.model()
        await compare.assign(made, values)
        row = await get_model("SeedRecord").create(
            addon=self._addon,
            identifier=record.identifier,
            model=record.model.__name__,
            record_id=made.id,
            file=file,
            shipped=self._plain(record, values),
            apply_once=record.source.apply_once,
        )
        await self._check_stored(record, row, values)
        self._rows[self._addon, record.identifier] = row
        return _report(record, Outcome.created)

    async def _update(self, record: ResolvedRecord, row: Any, stored: Any, file: str) -> RecordReport:
        values = await self._values(record)
        before = dict(row.shipped)
        if not row.active and "active" in record.model._meta.fields_map:
            values.setdefault("active", True)
            before["active"] = False
        shipped = self._plain(record, values)
        changed, kept = {}, []
        for name, new in shipped.items():
            current = await compare.current(stored, name, self._salt(row.identifier))
            if current == new:
                continue
            if name not in before:
                before[name] = compare.untouched(record.model._meta.fields_map[name], self._salt(row.identifier))
            if current == before[name]:
                changed[name] = values[name]
            elif before[name] != new:
                kept.append(name)
        if changed:
            await compare.assign(stored, changed)
            await self._check_stored(record, row, changed)
        await _write_row(row, file=file, apply_once=False, active=True, shipped=shipped)
        outcome = Outcome.updated if changed else Outcome.kept if kept else Outcome.unchanged
        return _report(record, outcome, tuple(changed), tuple(kept))

    async def _check_stored(self, record: ResolvedRecord, row: Any, names: Iterable[str]) -> None:
        """Raise where a record holds something else than was set, which the next update would take for an edit."""
        stored = await record.model.get(id=row.record_id)
        wanted = self._plain(record, await self._values(record))
        for name in names:
            found = await compare.current(stored, name, self._salt(row.identifier))
            if found != wanted.get(name, found):
                raise _StoredOtherwise(name, found)

    async def _drop(self, row: Any) -> list[RecordReport]:
        await _write_row(row, active=False)
        model = _model(self._runtime, row)
        stored = None if model is None or row.apply_once else await model.get_or_none(id=row.record_id)
        if model is None or stored is None:
            return []
        known = model._meta.fields_map
        salt = self._salt(row.identifier)
        edited = tuple(
            [
                name
                for name in row.shipped
                if name in known and await compare.current(stored, name, salt) != row.shipped[name]
            ]
        )
        if edited:
            reason = "it is no longer shipped; archive it by hand"
            return [RecordReport(row.model, row.identifier, Outcome.kept, kept=edited, reason=reason)]
        if "active" not in known:
            reason = "it is no longer shipped; delete it by hand"
            return [RecordReport(row.model, row.identifier, Outcome.skipped, reason=reason)]
        stored.active = False
        await stored.save(update_fields=["active"])
        return [RecordReport(row.model, row.identifier, Outcome.archived)]

    async def _values(self, record: ResolvedRecord) -> dict[str, Any]:
        """Return the record's values with ids in the place of references."""
        return {name: await self._target(value) for name, value in record.values.items()}

    async def _target(self, value: Any) -> Any:
        if isinstance(value, tuple):
            ids = [await self._target(item) for item in value]
            return sorted(key for key in ids if key is not None)
        if not isinstance(value, Reference):
            return value
        row = self._row(value)
        return row.record_id if row is not None else await _named(value)

    def _plain(self, record: ResolvedRecord, values: Mapping[str, Any]) -> dict[str, Any]:
        columns = record.model._meta.fields_map
        return {
            name: compare.plain(columns[name], value, self._salt(record.identifier)) for name, value in values.items()
        }

    def _salt(self, identifier: str) -> str:
        return f"{self._addon}.{identifier}"


class _StoredOtherwise(PostroomError):
    """A value that its model stores in another form."""

    def __init__(self, field: str, found: Any):
        self.field = field
        super().__init__(f"it is stored as {json.dumps(found)}; write it so")


async def _rows(order: str = "id", **conditions: Any) -> list[Any]:
    rows: list[Any] = await get_model("SeedRecord").filter(**conditions).order_by(order)
    return rows


async def _write_row(row: Any, **values: Any) -> None:
    changed = [name for name, value in values.items() if getattr(row, name) != value]
    if changed:
        row.update_from_dict({name: values[name] for name in changed})
        await row.save(update_fields=changed)


async def _faults_of_model(record: ResolvedRecord) -> list[str]:
    """Ask a model's `check_values(values)`, where it has one, what is wrong with values; references are not in them."""
    check = getattr(record.model, "check_values", None)
    if check is None:
        return []
    references = {name for name, _ in record.references()}
    faults: list[str] = await check({name: value for name, value in record.values.items() if name not in references})
    return faults


async def _named(reference: Reference) -> int | None:
    """Return the id of the record that carries a bare reference in its own `identifier` field."""
    return (await _names(reference)).get(reference.identifier)


async def _names(reference: Reference) -> dict[str, int]:
    model = get_model(reference.model)
    if reference.addon or "identifier" not in model._meta.fields_map:
        return {}
    return dict(await model.exclude(identifier=None).values_list("identifier", "id"))


def _model(runtime: Runtime, row: Any) -> type[Any] | None:
    return runtime.registry.get(row.model) if row.model in runtime.registry else None


def _report(
    record: ResolvedRecord,
    outcome: Outcome,
    updated: tuple[str, ...] = (),
    kept: tuple[str, ...] = (),
    reason: str = "",
) -> RecordReport:
    return RecordReport(record.model.__name__, record.identifier, outcome, updated, kept, reason)


def _told(record: ResolvedRecord, error: Exception) -> str:
    if isinstance(error, IntegrityError):
        return record.fault(f"it clashes with a record that is there already, or points at none: {error}")
    return record.fault(str(error), getattr(error, "field", ""))
