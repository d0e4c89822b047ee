"""Migration files: the changes of a schema that only a person can decide, as `<addon>/migrations/0001_name.yaml`.

A file is a list of steps, each one of::

    - rename_field: {model: CrmLead, from: phone, to: telephone}
    - drop_field: {model: CrmLead, field: fax}
    - rename_model: {from: CrmLead, to: Lead}
    - drop_model: {name: CrmStage}
    - sql: {sqlite: UPDATE ..., postgres: [UPDATE ..., UPDATE ...]}

The files of an addon are applied in the order of their names, each once, before the additive part of an update. A
renamed model is also renamed in every text column called `model`, `res_model` or `target_model`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from core.contributions import AddonInfo
from core.errors import SchemaError, did_you_mean
from core.orm.blueprint import is_named_by_us
from core.orm.catalog import LiveTable, read_catalog
from core.orm.column_type import column_type
from core.orm.database import Database
from core.orm.registry import snake_case
from core.orm.step import Step, drop_column, drop_indexes, take
from core.pattern import pattern

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""By libyaml where the wheel has it: that is ten times as fast."""
_FILE_NAME = pattern(r"\d{4}_[a-z0-9_]+\.yaml")
_KEYS = {
    "rename_field": {"model", "from", "to"},
    "drop_field": {"model", "field"},
    "rename_model": {"from", "to"},
    "drop_model": {"name"},
    "sql": {"sqlite", "postgres"},
}
_MODEL_NAME_COLUMNS = ("model", "res_model", "target_model")

Operation = tuple[str, Mapping[str, Any]]
Catalog = Mapping[str, LiveTable]


@dataclass(frozen=True, slots=True)
class MigrationFile:
    """One file, read and checked."""

    addon: str
    name: str
    checksum: str
    operations: tuple[Operation, ...]

    @property
    def key(self) -> tuple[str, str]:
        return self.addon, self.name

    @property
    def path(self) -> str:
        """How a person finds it."""
        return f"{self.addon}/migrations/{self.name}"


def read_migrations(addons: Iterable[AddonInfo]) -> tuple[list[MigrationFile], list[str]]:
    """Return the migration files of all addons in order, and every fault in them."""
    files: list[MigrationFile] = []
    faults: list[str] = []
    for addon in addons:
        for path in sorted((addon.folder / "migrations").glob("*")):
            if path.suffix == ".yaml" and path.is_file():
                files.append(_read(addon.name, path, faults))
    return files, faults


async def carry_out(database: Database, file: MigrationFile) -> list[Step]:
    """Apply a file in the running transaction and return its steps; raise SchemaError naming the file and the step."""
    steps: list[Step] = []
    for number, (kind, values) in enumerate(file.operations, 1):
        try:
            made = list(_STEPS[kind](database, await read_catalog(database), values))
            await take(database, made)
        except SchemaError as error:
            raise SchemaError(
                "A migration file failed:", [f"{file.path}, step {number}: {fault}" for fault in error.faults]
            ) from error
        steps += made
    return steps


def _read(addon: str, path: Path, faults: list[str]) -> MigrationFile:
    where = f"{addon}/migrations/{path.name}"
    raw = path.read_bytes()
    operations: list[Operation] = []
    if not _FILE_NAME.fullmatch(path.name):
        faults.append(f"{where}: name it like 0001_what_it_does.yaml")
    try:
        content = yaml.load(raw, Loader=_LOADER)  # noqa: S506 - it is a safe one
    except yaml.YAMLError as error:
        faults.append(f"{where}: {' '.join(str(error).split())}")
        content = []
    if not isinstance(content, list):
        faults.append(f"{where}: the file must hold a list of steps")
        content = []
    for number, item in enumerate(content, 1):
        fault = _fault_in(item)
        if fault:
            faults.append(f"{where}, step {number}: {fault}")
        else:
            operations += item.items()
    return MigrationFile(addon, path.name, sha256(raw).hexdigest(), tuple(operations))


def _fault_in(item: Any) -> str:
    if not isinstance(item, dict) or len(item) != 1:
        return f"a step is one of {', '.join(_KEYS)} with its values"
    (kind, values), *_ = item.items()
    if kind not in _KEYS:
        return f"there is no step {kind}.{did_you_mean(str(kind), _KEYS)}"
    if not isinstance(values, dict) or set(values) != _KEYS[kind]:
        return f"{kind} takes exactly {', '.join(sorted(_KEYS[kind]))}"
    for key, value in values.items():
        texts = value if kind == "sql" and isinstance(value, list) else [value]
        if not all(isinstance(text, str) and text.strip() for text in texts):
            return f"{kind}: {key} must be a text" + (", or a list of texts" if kind == "sql" else "")
    return ""


def _rename_field(database: Database, catalog: Catalog, values: Mapping[str, Any]) -> Iterator[Step]:
    table = _table(database, catalog, values["model"])
    old = _column(catalog, table, values["from"])
    new = values["to"] + old.removeprefix(values["from"])
    words = f"rename column {table}.{old} to {new}"
    if new in catalog[table].columns:
        raise SchemaError("", [f"{values['model']} has both {old} and {new}; drop one of them first"])
    yield from drop_indexes(filter(is_named_by_us, catalog[table].indexes_on(old)), words)
    yield Step(f'ALTER TABLE "{table}" RENAME COLUMN "{old}" TO "{new}"', words)


def _drop_field(database: Database, catalog: Catalog, values: Mapping[str, Any]) -> Iterator[Step]:
    table = _table(database, catalog, values["model"])
    yield from drop_column(table, _column(catalog, table, values["field"]), catalog[table])


def _rename_model(database: Database, catalog: Catalog, values: Mapping[str, Any]) -> Iterator[Step]:
    old_name, new_name = values["from"], values["to"]
    old, new = _table(database, catalog, old_name), _table_name(database, new_name)
    words = f"rename model {old_name} to {new_name}, table {old} to {new}"
    if new in catalog and new != old:
        raise SchemaError("", [f"there is a table {new} already; drop it first"])
    yield from drop_indexes(filter(is_named_by_us, catalog[old].indexes), words)
    if new != old:
        yield Step(f'ALTER TABLE "{old}" RENAME TO "{new}"', words)
    for table, column in _model_name_columns(catalog):
        table = new if table == old else table
        update = f'UPDATE "{table}" SET "{column}" = {database.dialect.param(1)} WHERE "{column}" = '
        yield Step(update + database.dialect.param(2), words, (new_name, old_name))


def _drop_model(database: Database, catalog: Catalog, values: Mapping[str, Any]) -> Iterator[Step]:
    name = values["name"]
    if name in database.registry:
        raise SchemaError("", [f"{name} is still declared; take the model out of the addon first"])
    table = _table(database, catalog, name)
    for other, live in catalog.items():
        pointing = [column for column, state in live.columns.items() if _points_at(state, table)]
        if other == table or not pointing:
            continue
        if "id" in live.columns:
            raise SchemaError("", [f"{other}.{pointing[0]} still points at {table}; drop that field first"])
        yield Step(f'DROP TABLE "{other}"', f"drop table {other}, which links to {table}")
    yield Step(f'DROP TABLE "{table}"', f"drop table {table}")


def _sql(database: Database, catalog: Catalog, values: Mapping[str, Any]) -> Iterator[Step]:
    statements = values[database.dialect.name]
    for statement in [statements] if isinstance(statements, str) else statements:
        yield Step(statement, " ".join(statement.split()))


_STEPS = {
    "rename_field": _rename_field,
    "drop_field": _drop_field,
    "rename_model": _rename_model,
    "drop_model": _drop_model,
    "sql": _sql,
}


def _table_name(database: Database, model: str) -> str:
    if model in database.registry:
        return str(database.registry.get(model)._meta.db_table)
    return snake_case(model)


def _table(database: Database, catalog: Catalog, model: str) -> str:
    table = _table_name(database, model)
    if table not in catalog:
        known = [entry.name for entry in database.registry]
        raise SchemaError("", [f"there is no table of a model {model}.{did_you_mean(model, known)}"])
    return table


def _column(catalog: Catalog, table: str, field: str) -> str:
    """Return the column of a field, which has `_id` behind it when the field is to-one."""
    for column in (field, f"{field}_id"):
        if column in catalog[table].columns:
            return column
    hint = did_you_mean(field, catalog[table].columns)
    raise SchemaError("", [f"the table {table} has no column {field}.{hint}"])


def _model_name_columns(catalog: Catalog) -> Iterator[tuple[str, str]]:
    for table, live in catalog.items():
        for column in _MODEL_NAME_COLUMNS:
            if column in live.columns and column_type(live.columns[column].type).family == "text":
                yield table, column
    if "model_registry" in catalog:
        yield "model_registry", "identifier"
        yield "model_registry", "name"


def _points_at(column: Any, table: str) -> bool:
    return column.reference is not None and column.reference.table == table
