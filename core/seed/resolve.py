"""Seed files against the models: every name, type, choice and text file checked, every reference read, all in order.

Nothing here asks the database; whether a reference's target is there is found out by `core.seed.apply`. All faults of
all files of an addon are told at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from tortoise.exceptions import ValidationError
from tortoise.fields.relational import ForeignKeyFieldInstance, ManyToManyFieldInstance, RelationalField

from core.contributions import AddonInfo
from core.errors import SeedError, UnknownName, UserError, did_you_mean
from core.orm import fields
from core.orm.registry import Registry
from core.seed.reader import SeedFile, SeedRecord, load_file, load_text_file, read_seed_file


@dataclass(frozen=True, slots=True)
class Reference:
    """What a field points at: `model` is what the field wants, `addon` is empty where the reference is bare."""

    model: str
    addon: str
    identifier: str

    def __str__(self) -> str:
        return f"{self.addon}.{self.identifier}" if self.addon else self.identifier


@dataclass(frozen=True, slots=True)
class ResolvedRecord:
    """A record whose values fit its model's fields: a value, a Reference, or a tuple of them for a to-many field."""

    source: SeedRecord
    identifier: str
    """Without the addon's name."""
    file: str
    model: type[Any]
    values: Mapping[str, Any]

    def fault(self, reason: str, name: str = "") -> str:
        """Say what is wrong with the record, or with its field `name`, and where."""
        line = self.source.field_lines.get(name, self.source.line)
        return ": ".join(part for part in (f"{self.file}:{line}", self.identifier, name, reason) if part)

    def references(self) -> Iterator[tuple[str, Reference]]:
        """Yield (field name, reference) of all that the record points at."""
        for name, value in self.values.items():
            for item in value if isinstance(value, tuple) else (value,):
                if isinstance(item, Reference):
                    yield name, item


@dataclass(frozen=True, slots=True)
class ResolvedFile:
    """The records of one file, each after those of the file that it points at."""

    name: str
    """The path from the addon's data folder."""
    demo: bool
    records: tuple[ResolvedRecord, ...]


def resolve_addon(addon: AddonInfo, registry: Registry) -> tuple[ResolvedFile, ...]:
    """Return all seed files of an addon in the order in which they apply; raise SeedError with every fault."""
    resolving = _Resolving(addon, registry)
    for demo, names in ((False, addon.data), (True, addon.demo)):
        for name in names:
            resolving.take(addon.data_folder / name, demo, ())
    if resolving.faults:
        raise SeedError(f"The records of {addon.name} cannot be applied, and nothing was:", resolving.faults)
    return tuple(resolving.files)


@dataclass(slots=True)
class _Resolving:
    addon: AddonInfo
    registry: Registry
    files: list[ResolvedFile] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    _done: set[Path] = field(default_factory=set)
    _places: dict[str, str] = field(default_factory=dict)

    def take(self, path: Path, demo: bool, above: tuple[Path, ...]) -> None:
        """Read a file, after the files that it depends on."""
        path = path.resolve()
        if path in above:
            circle = " -> ".join(self._name(file) for file in (*above[above.index(path) :], path))
            self.faults.append(f"{self._name(path)}: files depend on each other in a circle: {circle}")
        if path in self._done or path in above:
            return
        try:
            seeds = read_seed_file(path, root=self.addon.data_folder)
        except SeedError as error:
            self.faults += error.faults
            self._done.add(path)
            return
        for needed in seeds.depends:
            self.take(needed, demo, (*above, path))
        self._done.add(path)
        self.files.append(ResolvedFile(self._name(path), demo, tuple(self._records(seeds))))

    def _name(self, path: Path) -> str:
        root = self.addon.data_folder.resolve()
        return str(path.relative_to(root)) if path.is_relative_to(root) else path.name

    def _records(self, seeds: SeedFile) -> list[ResolvedRecord]:
        records = {}
        for source in seeds.records:
            record = self._record(source)
            if record is not None:
                records[record.identifier] = record
        return list(self._in_order(records))

    def _record(self, source: SeedRecord) -> ResolvedRecord | None:
        owner, _, identifier = source.identifier.rpartition(".")
        record = ResolvedRecord(source, identifier, self._name(source.file.resolve()), object, {})
        for named in (owner, source.module):
            if named and named != self.addon.name:
                self.faults.append(record.fault(f"it belongs to the addon {named}, but this is {self.addon.name}"))
        if identifier in self._places:
            self.faults.append(record.fault(f"{self._places[identifier]} has this identifier too; rename one"))
        self._places[identifier] = f"{record.file}:{source.line}"
        try:
            model = self.registry.get(source.data_type)
        except UnknownName as error:
            self.faults.append(record.fault(str(error), "data_type"))
            return None
        return ResolvedRecord(source, identifier, record.file, model, self._values(record, model))

    def _values(self, record: ResolvedRecord, model: type[Any]) -> dict[str, Any]:
        known = _seedable(model)
        values: dict[str, Any] = {}
        for name, written in record.source.values.items():
            try:
                if name not in known:
                    raise UserError(f"{model.__name__} has no such field.{did_you_mean(name, known)}")
                values[name] = self._value(known[name], written, record.source.file.parent)
            except (UserError, ValidationError) as error:
                self.faults.append(record.fault(str(error).removeprefix(f"{name}: "), name))
        if "identifier" in known:
            values.setdefault("identifier", record.identifier)
        for name, column in known.items():
            if name not in values and name not in record.source.values and _is_required(column):
                self.faults.append(record.fault(f"{model.__name__} needs it; add it", name))
        return values

    def _value(self, column: Any, written: Any, folder: Path) -> Any:
        if isinstance(column, ManyToManyFieldInstance):
            if not isinstance(written, list):
                raise UserError("must be a list of identifiers")
            return tuple(_reference(column, item) for item in written)
        if written is None:
            if not column.null:
                raise UserError("cannot be empty; give it a value, or leave it out")
            return None
        if isinstance(column, ForeignKeyFieldInstance):
            return _reference(column, written)
        if isinstance(column, fields.BinaryField):
            return load_file(_text(column, written), folder, self.addon.data_folder)
        if isinstance(column, fields.TextField) and not isinstance(column, fields.SecretField):
            text = load_text_file(_text(column, written), folder, self.addon.data_folder)
            written = written if text is None else text
        value = _read(column, written)
        column.validate(value)
        return value

    def _in_order(self, records: dict[str, ResolvedRecord]) -> Iterator[ResolvedRecord]:
        own = ("", self.addon.name)
        needs = {
            identifier: [to.identifier for _, to in record.references() if to.addon in own and to.identifier in records]
            for identifier, record in records.items()
        }
        try:
            yield from [records[identifier] for identifier in TopologicalSorter(needs).static_order()]
        except CycleError as error:
            circle = list(reversed(error.args[1]))
            reason = f"records point at each other in a circle: {' -> '.join(circle)}; set one of the links elsewhere"
            self.faults.append(records[circle[0]].fault(reason))


def _seedable(model: type[Any]) -> dict[str, Any]:
    """Return the fields that a file may set: columns, and relations by their own name."""
    meta = model._meta
    return {
        name: column
        for name, column in meta.fields_map.items()
        if name != "id" and getattr(column, "reference", None) is None and not _is_other_side(column)
    }


def _is_other_side(column: Any) -> bool:
    if isinstance(column, ManyToManyFieldInstance):
        return bool(column._generated)
    return isinstance(column, RelationalField) and not isinstance(column, ForeignKeyFieldInstance)


def _is_required(column: Any) -> bool:
    if isinstance(column, ManyToManyFieldInstance) or column.null or column.default is not None:
        return False
    return not (getattr(column, "auto_now", False) or getattr(column, "auto_now_add", False))


def _reference(column: Any, written: Any) -> Reference:
    if not isinstance(written, str) or not written:
        raise UserError("must be the identifier of a record")
    addon, _, identifier = written.rpartition(".")
    return Reference(column.related_model.__name__, addon, identifier)


def _read(column: Any, written: Any) -> Any:
    for kinds, read in _READERS:
        if isinstance(column, kinds):
            return read(column, written)
    raise UserError(f"a {type(column).__name__} cannot be set in a file; leave it out")


def _text(column: Any, written: Any) -> str:
    if not isinstance(written, str):
        raise UserError(f"must be a text; put it in quotes (got {written})")
    if "\0" in written:
        raise UserError("holds a NUL character, which PostgreSQL does not store; remove it")
    return written


def _choice(column: Any, written: Any) -> str:
    text = _text(column, written)
    if text not in column.choices:
        raise UserError(f'"{text}" is none of {", ".join(column.choices)}.{did_you_mean(text, column.choices)}')
    return text


def _truth(column: Any, written: Any) -> bool:
    if not isinstance(written, bool):
        raise UserError(f"must be true or false (got {written})")
    return written


def _whole(column: Any, written: Any) -> int:
    if isinstance(written, bool) or not isinstance(written, int):
        raise UserError(f"must be a whole number (got {written})")
    least, most = column.constraints["ge"], column.constraints["le"]
    if not least <= written <= most:
        raise UserError(f"must be from {least} to {most} (got {written})")
    return written


def _decimal(column: Any, written: Any) -> Decimal:
    if isinstance(written, bool) or not isinstance(written, int | Decimal):
        raise UserError(f"must be a number (got {written})")
    return Decimal(written)


def _moment(column: Any, written: Any) -> datetime:
    if not isinstance(written, datetime):
        raise UserError(f"must be a time such as 2030-01-31T09:00:00+01:00 (got {written})")
    return written.astimezone(UTC)


def _day(column: Any, written: Any) -> date:
    if isinstance(written, datetime) or not isinstance(written, date):
        raise UserError(f"must be a date such as 2030-01-31 (got {written})")
    return written


def _json(column: Any, written: Any) -> Any:
    """Return what JSON can hold: numbers with a point as floats, dates and times as texts."""
    if isinstance(written, Mapping):
        return {_text(column, key): _json(column, value) for key, value in written.items()}
    if isinstance(written, str):
        return _text(column, written)
    if isinstance(written, Iterable):
        return [_json(column, value) for value in written]
    if isinstance(written, Decimal):
        return float(written)
    return written.isoformat() if isinstance(written, date) else written


_READERS: tuple[tuple[Any, Callable[[Any, Any], Any]], ...] = (
    (fields.SelectionField, _choice),
    ((fields.CharField, fields.TextField), _text),
    (fields.JSONField, _json),
    (fields.BooleanField, _truth),
    (fields.IntField, _whole),
    (fields.DecimalField, _decimal),
    (fields.FloatField, lambda column, written: float(_decimal(column, written))),
    (fields.DatetimeField, _moment),
    (fields.DateField, _day),
)
