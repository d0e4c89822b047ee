"""Bringing a database up to what the models want: planned, then applied in one transaction.

What only adds is done by itself; a rename, a drop or a change of type needs a migration file of the addon
(`core.orm.migration`). Columns and tables that no model wants are left alone, since they hold somebody's data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from core import clock
from core.contributions import AddonInfo
from core.errors import SchemaError
from core.orm.blueprint import Column, Table, owned_many_to_many, wanted_tables
from core.orm.catalog import LiveColumn, LiveTable, read_catalog, table_exists
from core.orm.column_type import column_type, widened
from core.orm.database import Database
from core.orm.dialect import Dialect
from core.orm.migration import MigrationFile, carry_out, read_migrations
from core.orm.step import Step, drop_column, take
from core.orm.transaction import rehearsal, transaction

_LOCK = 5_791_308_624_118_263_661
"""The PostgreSQL advisory lock of whoever changes the schema."""
_SHOWN = 10
"""How many differences an error names."""
_STAMP = ("", "")
"""The row of SchemaMigration that holds the fingerprint."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done to a database, in order, and what keeps it from being done."""

    steps: tuple[Step, ...] = ()
    faults: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """What the steps do, each thing told once."""
        return tuple(dict.fromkeys(step.words for step in self.steps))


async def plan(database: Database, addons: Sequence[AddonInfo] = ()) -> Plan:
    """Return what `apply` would do. Pending migration files are rehearsed and rolled back, so this takes its locks."""
    async with rehearsal():
        return await _bring_up_to_date(database, addons, add=False)


async def apply(database: Database, addons: Sequence[AddonInfo] = ()) -> Plan:
    """Bring the database up to date in one transaction and return what was done; or raise SchemaError, nothing done.

    Hosts that start together wait for each other; the later one finds nothing left to do.
    """
    async with transaction():
        done = await _bring_up_to_date(database, addons, add=True)
        if done.faults:
            raise SchemaError("The database cannot be brought up to date, and nothing was done:", done.faults)
    return done


async def schema_differs(database: Database, addons: Sequence[AddonInfo] = ()) -> tuple[str, ...]:
    """Tell what keeps this host from using the database; empty when it was made for exactly these models."""
    tables, faults = wanted_tables(database.registry, database.dialect.name)
    files, broken = read_migrations(addons)
    if not faults + broken and (await _past(database)).get(_STAMP) == _fingerprint(tables, files):
        return ()
    planned = await plan(database, addons)
    other = "it was brought up to date by another version of Postroom, or for other addons"
    return planned.faults or planned.words or (other,)


async def require_current_schema(database: Database, addons: Sequence[AddonInfo] = ()) -> None:
    """Raise SchemaError unless the database was brought up to date for exactly these models."""
    differences = await schema_differs(database, addons)
    if differences and not await read_catalog(database):
        raise SchemaError("The database was never set up; run `postroom init`, or `postroom run`, which does it.", ())
    if differences:
        more = len(differences) - _SHOWN
        shown = [*differences[:_SHOWN], f"and {more} more"] if more > 0 else differences
        raise SchemaError("The database does not fit this host; run `postroom update`:", shown)


async def stamp_of(database: Database) -> str | None:
    """Return what stands for the models that the database was last brought up to date for; None for none."""
    addon, file = _STAMP
    row = await database.registry.get("SchemaMigration").get_or_none(addon=addon, file=file)
    return row.checksum if row else None


async def lock(database: Database) -> None:
    """Keep other hosts' updates out until the running transaction ends; on SQLite it keeps all writers out anyway."""
    if database.dialect.name == "postgres":
        await database.fetch("SELECT pg_advisory_xact_lock($1)", [_LOCK])


async def forget(database: Database, addon: str) -> None:
    """Forget an addon's migrations, so that it can be installed anew, and that the database fitted these models."""
    model = database.registry.get("SchemaMigration")
    await model.filter(addon__in=[addon, _STAMP[0]]).delete()


async def drops_of(database: Database, addon: str) -> Plan:
    """Return what goes with an addon: the columns that it added to others' models, and its models' tables."""
    catalog = await read_catalog(database)
    tables = [table for table in _tables_of(database, addon) if table.name in catalog]
    steps: list[Step] = []
    for table, column in (*_columns_of(database, addon), *_late_columns(tables)):
        if table in catalog and column in catalog[table].columns:
            steps += drop_column(table, column, catalog[table])
    for name in (table.name for table in reversed(tables)):
        count = (await database.fetch(f'SELECT count(*) AS "rows" FROM "{name}"'))[0]["rows"]
        steps.append(Step(f'DROP TABLE "{name}"', f"drop table {name} with {count} rows"))
    return Plan(tuple(steps))


async def _bring_up_to_date(database: Database, addons: Sequence[AddonInfo], *, add: bool) -> Plan:
    """Migrate and compare, in the running transaction; with `add`, also add what is missing and remember it."""
    tables, faults = wanted_tables(database.registry, database.dialect.name)
    files, broken = read_migrations(addons)
    if faults + broken:
        return Plan(faults=(*faults, *broken))
    await lock(database)
    past = await _past(database)
    pending, changed = _pending(files, past)
    if changed:
        return Plan(faults=tuple(changed))
    try:
        migrated = [step for file in pending for step in await carry_out(database, file)]
    except SchemaError as error:
        return Plan(faults=error.faults)
    added = await _additions(database, tables, faults)
    if add and not faults:
        await take(database, added)
        await _remember(database, addons, files, past, _fingerprint(tables, files))
    return Plan((*migrated, *added), tuple(faults))


def _pending(
    files: Sequence[MigrationFile], past: Mapping[tuple[str, str], str]
) -> tuple[list[MigrationFile], list[str]]:
    """Return the files to apply, and in words those that were changed after they were.

    An addon that the database does not know yet needs none of its files: its tables are made as they are wanted now.
    """
    changed = [
        f"{file.path}: it was changed after it was applied; restore it, and write what is new into another file"
        for file in files
        if past.get(file.key, file.checksum) != file.checksum
    ]
    return [file for file in files if (file.addon, "") in past and file.key not in past], changed


async def _past(database: Database) -> dict[tuple[str, str], str]:
    table = database.registry.get("SchemaMigration")._meta.db_table
    if not await table_exists(database, table):
        return {}
    rows = await database.fetch(f'SELECT addon, file, checksum FROM "{table}"')
    return {(row["addon"], row["file"]): row["checksum"] for row in rows}


async def _remember(
    database: Database,
    addons: Sequence[AddonInfo],
    files: Sequence[MigrationFile],
    past: Mapping[tuple[str, str], str],
    fingerprint: str,
) -> None:
    model = database.registry.get("SchemaMigration")
    rows = {(addon.name, ""): "" for addon in addons} | {file.key: file.checksum for file in files}
    rows[_STAMP] = fingerprint
    await model.bulk_create(
        [
            model(addon=addon, file=file, checksum=sum_)
            for (addon, file), sum_ in rows.items()
            if (addon, file) not in past
        ]
    )
    if past.get(_STAMP, fingerprint) != fingerprint:
        await model.filter(addon=_STAMP[0], file=_STAMP[1]).update(checksum=fingerprint, applied_at=clock.now())


def _fingerprint(tables: Sequence[Table], files: Sequence[MigrationFile]) -> str:
    """Return what stands for exactly these models and migration files."""
    wanted = [(table.create(), [index.sql for index in table.indexes]) for table in tables]
    return sha256(repr((wanted, [(file.key, file.checksum) for file in files])).encode()).hexdigest()


async def _additions(database: Database, tables: Sequence[Table], faults: list[str]) -> list[Step]:
    catalog = await read_catalog(database)
    steps = list(_new_tables(database.dialect, [table for table in tables if table.name not in catalog], set(catalog)))
    for table in tables:
        if table.name in catalog:
            steps += await _changes(database, table, catalog[table.name], faults)
    return steps


def _new_tables(dialect: Dialect, tables: Sequence[Table], there: set[str]) -> Iterator[Step]:
    """Create tables; a foreign key to one that comes later (they point at each other) is added when that is there."""
    late: list[tuple[Table, Column]] = []
    for table in tables:
        there.add(table.name)
        waiting = [column for column in table.columns if column.reference and column.reference.table not in there]
        yield Step(table.create(waiting), f"create table {table.name}")
        late += [(table, column) for column in waiting]
    for table, column in late:
        yield from _added(dialect, table.name, column)
    for table in tables:
        yield from (Step(index.sql, index.words) for index in table.indexes)


async def _changes(database: Database, table: Table, live: LiveTable, faults: list[str]) -> list[Step]:
    steps: list[Step] = []
    dialect = database.dialect
    wanted = {column.name: column for column in table.columns}
    for column in wanted.values():
        current = live.columns.get(column.name)
        if current is None:
            if not column.null and column.default() is None and await _has_rows(database, table.name):
                faults.append(
                    f"{table.model}.{column.name} is new and needs a value, and the table has rows: "
                    "give the field a default or null=True"
                )
            steps += _added(dialect, table.name, column)
        elif not column.generated:
            fault = _unfit(table, column, current)
            if fault:
                faults.append(fault)
            else:
                steps += _altered(dialect, table.name, column, live)
    for name, current in live.columns.items():
        if name not in wanted and not current.null:
            left = Column(name, current.type, null=True, reference=current.reference, generated="")
            steps += _altered(dialect, table.name, left, live)
    return steps + [Step(index.sql, index.words) for index in table.indexes if index.name not in live.indexes]


async def _has_rows(database: Database, table: str) -> bool:
    return bool(await database.fetch(f'SELECT 1 FROM "{table}" LIMIT 1'))


def _unfit(table: Table, column: Column, current: LiveColumn) -> str:
    """Say why a column that is there cannot become the wanted one by itself; empty when it can."""
    where = f"{table.model}.{column.name}"
    if column_type(current.type).family != column_type(column.type).family:
        return f"{where} is {current.type} in the database and {column.type} in the model: write a migration file"
    old, new = current.reference, column.reference
    if old and new and old.table != new.table:
        return f"{where} points at {old.table} in the database and at {new.table} in the model: write a migration file"
    return ""


def _added(dialect: Dialect, table: str, column: Column) -> Iterator[Step]:
    """Add a column, give old rows its default, and require a value where that can be added later (PostgreSQL)."""
    words = f"add column {table}.{column.name}"
    if not column.null and column.default() is not None:
        words += ", with its default in the rows that are there"
    yield Step(f'ALTER TABLE "{table}" ADD COLUMN {replace(column, null=True).sql}', words)
    if not column.null:
        yield from _required(dialect, table, column, words)


def _required(dialect: Dialect, table: str, column: Column, words: str) -> Iterator[Step]:
    default = column.default()
    if default is not None:
        fill = f'UPDATE "{table}" SET "{column.name}" = {dialect.param(1)} WHERE "{column.name}" IS NULL'
        yield Step(fill, words, (default,))
    if dialect.name == "postgres":
        yield Step(f'ALTER TABLE "{table}" ALTER COLUMN "{column.name}" SET NOT NULL', words)


def _altered(dialect: Dialect, table: str, column: Column, live: LiveTable) -> Iterator[Step]:
    """Widen a column, change what its foreign key does, let it be NULL or not, where it is not so yet."""
    current = live.columns[column.name]
    where = f"{table}.{column.name}"
    let_go = column.null and not current.null
    if dialect.name == "sqlite":
        # Types and sizes bind nothing here, and NOT NULL cannot be added later.
        if let_go or column.reference != current.reference:
            yield from _made_again(table, replace(column, null=True), live)
        return
    alter = f'ALTER TABLE "{table}" ALTER COLUMN "{column.name}"'
    if not column_type(current.type).holds(column_type(column.type)):
        wider = widened(current.type, column.type)
        yield Step(f"{alter} TYPE {wider}", f"widen {where} from {current.type} to {wider}")
    if column.reference != current.reference:
        yield from _pointed_again(table, column, current)
    if let_go:
        yield Step(f"{alter} DROP NOT NULL", f"let {where} be empty")
    if current.null and not column.null:
        yield from _required(dialect, table, column, f"require a value in {where}")


def _pointed_again(table: str, column: Column, current: LiveColumn) -> Iterator[Step]:
    words = f"change the foreign key of {table}.{column.name}"
    if current.constraint:
        yield Step(f'ALTER TABLE "{table}" DROP CONSTRAINT "{current.constraint}"', words)
    if column.reference:
        target = f'REFERENCES "{column.reference.table}" ("id") ON DELETE {column.reference.on_delete}'
        yield Step(f'ALTER TABLE "{table}" ADD FOREIGN KEY ("{column.name}") {target}', words)


def _made_again(table: str, column: Column, live: LiveTable) -> Iterator[Step]:
    """Put a new column in the place of one: SQLite's only way that never drops a table others point at."""
    words = f"make {table}.{column.name} again: empty or not, its foreign key"
    spare = replace(column, name=f"{column.name}__new")
    yield Step(f'ALTER TABLE "{table}" ADD COLUMN {spare.sql}', words)
    yield Step(f'UPDATE "{table}" SET "{spare.name}" = "{column.name}"', words)
    yield from drop_column(table, column.name, live, words)
    yield Step(f'ALTER TABLE "{table}" RENAME COLUMN "{spare.name}" TO "{column.name}"', words)
    for index in live.indexes_on(column.name):
        yield Step(live.indexes[index], words)


def _tables_of(database: Database, addon: str) -> list[Table]:
    """Return the tables of an addon's models and many-to-many fields, each after those that it points at."""
    owned = set()
    for entry in database.registry:
        model = database.registry.get(entry.name)
        if entry.addon == addon:
            owned.add(model._meta.db_table)
        owned |= {field.through for name, field in owned_many_to_many(model) if entry.owner_of(name) == addon}
    tables, _ = wanted_tables(database.registry, database.dialect.name)
    return [table for table in tables if table.name in owned]


def _late_columns(tables: Sequence[Table]) -> Iterator[tuple[str, str]]:
    """Yield (table, column) of what keeps tables that point at each other from being dropped one by one."""
    later = {table.name for table in tables}
    for table in tables:
        later.discard(table.name)
        for column in table.columns:
            if column.reference and column.reference.table in later:
                yield table.name, column.name


def _columns_of(database: Database, addon: str) -> Iterator[tuple[str, str]]:
    """Yield (table, column) of the fields that an addon added to other addons' models."""
    for entry in database.registry:
        meta = database.registry.get(entry.name)._meta
        for name, column in meta.fields_db_projection.items():
            reference = getattr(meta.fields_map[name], "reference", None)
            if entry.addon != addon and entry.owner_of(reference.model_field_name if reference else name) == addon:
                yield meta.db_table, column
