"""Seed records into the database: created, brought up to date where nobody edited them, archived when dropped.

Each file is one transaction. What a file shipped is remembered per field (`SeedRecord.shipped`), and only a field that
still holds it is overwritten. A record that a person deleted does not come back.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from tortoise.exceptions import IntegrityError, ValidationError
from tortoise.fields.relational import ForeignKeyFieldInstance, ManyToManyFieldInstance

from core.contributions import AddonInfo
from core.errors import PostroomError, SeedError, did_you_mean
from core.orm import schema
from core.orm.fields import SecretField
from core.orm.transaction import transaction
from core.runtime import Runtime, get_model
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
                faults += [record.fault(fault) for fault in await _faults_of_model(record)]
        if faults:
            raise SeedError(f"The records of {self._addon} cannot be applied, and nothing was:", faults)

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
            known = [*coming, *(f"{addon}.{identifier}" for addon, identifier in self._rows)]
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
        values = {name: await self._target(value) for name, value in record.values.items()}
        columns, links = _apart(record.model, values)
        made = record.model(**columns)
        await made.save()
        await _link(made, links)
        shipped = await self._stored_as_shipped(record, made.id, values)
        self._rows[self._addon, record.identifier] = await get_model("SeedRecord").create(
            addon=self._addon,
            identifier=record.identifier,
            model=record.model.__name__,
            record_id=made.id,
            file=file,
            shipped=shipped,
            apply_once=record.source.apply_once,
        )
        return _report(record, Outcome.created)

    async def _update(self, record: ResolvedRecord, row: Any, stored: Any, file: str) -> RecordReport:
        values = {name: await self._target(value) for name, value in record.values.items()}
        before = dict(row.shipped)
        if not row.active and "active" in record.model._meta.fields_map:
            values.setdefault("active", True)
            before["active"] = False
        shipped = {name: self._plain(record.model, row.identifier, name, value) for name, value in values.items()}
        changed, kept = {}, []
        for name, new in shipped.items():
            current = await self._current(stored, row.identifier, name)
            if current == new:
                continue
            if current == before.get(name, self._default(record.model, row.identifier, name)):
                changed[name] = values[name]
            else:
                kept.append(name)
        if changed:
            columns, links = _apart(record.model, changed)
            stored.update_from_dict(columns)
            if columns:
                await stored.save(update_fields=list(columns))
            await _link(stored, links)
            await self._stored_as_shipped(record, stored.id, changed)
        await _write_row(row, file=file, apply_once=False, active=True, shipped=shipped)
        outcome = Outcome.updated if changed else Outcome.kept if kept else Outcome.unchanged
        return _report(record, outcome, tuple(changed), tuple(kept))

    async def _drop(self, row: Any) -> list[RecordReport]:
        await _write_row(row, active=False)
        model = _model(self._runtime, row)
        stored = None if model is None or row.apply_once else await model.get_or_none(id=row.record_id)
        if model is None or stored is None:
            return []
        edited = [name for name, old in row.shipped.items() if await self._current(stored, row.identifier, name) != old]
        told = {"model": row.model, "identifier": row.identifier}
        if edited:
            reason = "it is no longer shipped; archive it by hand"
            return [RecordReport(**told, outcome=Outcome.kept, kept=tuple(edited), reason=reason)]
        if "active" not in model._meta.fields_map:
            return [RecordReport(**told, outcome=Outcome.skipped, reason="it is no longer shipped; delete it by hand")]
        stored.active = False
        await stored.save(update_fields=["active"])
        return [RecordReport(**told, outcome=Outcome.archived)]

    async def _target(self, value: Any) -> Any:
        """Return a reference's id, a tuple's ids, or the value itself."""
        if isinstance(value, tuple):
            return sorted([await self._target(item) for item in value])
        if not isinstance(value, Reference):
            return value
        row = self._row(value)
        return row.record_id if row is not None else await _named(value)

    async def _stored_as_shipped(self, record: ResolvedRecord, key: int, values: Mapping[str, Any]) -> dict[str, Any]:
        """Read a record back and return its plain values; raise where they came out different from the file's.

        Otherwise the next update would take the difference for a person's edit.
        """
        stored = await record.model.get(id=key)
        shipped = {}
        for name, value in values.items():
            shipped[name] = self._plain(record.model, record.identifier, name, value)
            found = await self._current(stored, record.identifier, name)
            if found != shipped[name]:
                raise _StoredOtherwise(name, found)
        return shipped

    async def _current(self, stored: Any, identifier: str, name: str) -> Any:
        column = stored._meta.fields_map.get(name)
        if isinstance(column, ManyToManyFieldInstance):
            return sorted(await getattr(stored, name).all().values_list("id", flat=True))
        value = getattr(stored, _attribute(type(stored), name), None)
        return self._plain(type(stored), identifier, name, value)

    def _default(self, model: type[Any], identifier: str, name: str) -> Any:
        """Return what a field that was not shipped before holds while nobody set it."""
        column = model._meta.fields_map[name]
        if isinstance(column, ManyToManyFieldInstance):
            return []
        value = column.default() if callable(column.default) else column.default
        return self._plain(model, identifier, name, value)

    def _plain(self, model: type[Any], identifier: str, name: str, value: Any) -> Any:
        """Return a value in the form that SeedRecord keeps and compares: JSON, and only a hash of a secret."""
        if value is not None and isinstance(model._meta.fields_map.get(name), SecretField):
            salt = f"{self._addon}.{identifier}.{name}".encode()
            return "scrypt:" + hashlib.scrypt(str(value).encode(), salt=salt, n=2**14, r=8, p=1).hex()
        if isinstance(value, Decimal):
            return format(value.normalize(), "f")
        if isinstance(value, datetime):
            return value.astimezone(UTC).isoformat()
        return value.isoformat() if isinstance(value, date) else json.loads(json.dumps(value))


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
    model = get_model(reference.model)
    if reference.addon or "identifier" not in model._meta.fields_map:
        return None
    found = await model.filter(identifier=reference.identifier).values_list("id", flat=True)
    return int(found[0]) if found else None


def _model(runtime: Runtime, row: Any) -> type[Any] | None:
    return runtime.registry.get(row.model) if row.model in runtime.registry else None


def _attribute(model: type[Any], name: str) -> str:
    """Return the attribute that a field's column is kept in: `company_id` for `company`."""
    column = model._meta.fields_map.get(name)
    return str(column.source_field) if isinstance(column, ForeignKeyFieldInstance) else name


def _apart(model: type[Any], values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, list[int]]]:
    """Part values into columns and the ids of to-many fields."""
    links = {name: value for name, value in values.items() if name in model._meta.m2m_fields}
    return {_attribute(model, name): value for name, value in values.items() if name not in links}, links


async def _link(record: Any, links: Mapping[str, list[int]]) -> None:
    for name, ids in links.items():
        relation = getattr(record, name)
        await relation.clear()
        targets = await relation.remote_model.filter(id__in=ids)
        if targets:
            await relation.add(*targets)


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
