"""`postroom db`: the database, and a copy of it."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from core.cli.command import EXIT_FAILED, command, host
from core.cli.output import Json, print_done, print_json, print_rows, shown
from core.errors import UserError
from core.orm.schema import schema_differs
from core.runtime import runtime

_SHOWN_TABLES = 20


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(help="See the database, and copy it.", no_args_is_help=True)
    app.add_typer(group, name="db")
    command(group, "status")(status)
    command(group, "backup")(backup)


async def status(as_json: Json = False) -> int:
    """Show the database, its size, its largest tables, and whether its schema is up to date.

    Example: postroom db status
    """
    async with host(current=False) as opened:
        database = opened.database
        counts = {one: await _count(one) for one in await _tables()}
        differences = await schema_differs(database, opened.addons)
        facts = {"database": database.shown_url, "version": await _version(), "size_bytes": await _size_bytes()}
    facts |= {"differences": len(differences)}
    largest = sorted(counts, key=lambda one: (-counts[one], one))
    rows = [{"table": one, "rows": counts[one]} for one in largest]
    if as_json:
        print_json({**facts, "tables": rows})
    else:
        for name, value in facts.items():
            typer.echo(f"{name.replace('_', ' '):>11}  {shown(value)}")
        print_rows(rows[:_SHOWN_TABLES], ("table", "rows"), as_json=False, empty="")
        if differences:
            typer.echo("-> run `postroom update`")
    return EXIT_FAILED if differences else 0


async def backup(
    file: Annotated[Path, typer.Argument(help="Where the copy goes; there must be none yet.")], as_json: Json = False
) -> None:
    """Copy an SQLite database while it is used, whole; without SECRET_KEY, which is to be kept beside it.

    Example: postroom db backup copy.db
    """
    async with host(current=False) as opened:
        if opened.database.dialect.name != "sqlite":
            raise UserError("PostgreSQL has its own: run `pg_dump --format=custom` with the address of DATABASE_URL.")
        if file.exists():
            raise UserError(f"{file} is there already; name another file.")
        source = opened.database.url.removeprefix("sqlite://")
        part = file.with_name(f"{file.name}.part")
        try:
            await asyncio.to_thread(_copy, source, part)
        except (OSError, sqlite3.Error) as error:
            part.unlink(missing_ok=True)
            raise UserError(f"{file} cannot be written: {error}.") from error
        part.rename(file)
    print_done(f"{file} is a copy of it.", as_json=as_json, file=str(file), size_bytes=file.stat().st_size)


def _copy(source: str, target: Path) -> None:
    target.touch(mode=0o600)
    with closing(sqlite3.connect(source)) as ours, closing(sqlite3.connect(target)) as copy:
        ours.backup(copy)
        (verdict,) = copy.execute("PRAGMA integrity_check").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)


async def _tables() -> list[str]:
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
    if runtime().database.dialect.name == "postgres":
        query = "SELECT tablename AS name FROM pg_tables WHERE schemaname = current_schema()"
    return [row["name"] for row in await runtime().database.fetch(query)]


async def _count(table: str) -> int:
    (row,) = await runtime().database.fetch(f'SELECT count(*) AS rows FROM "{table}"')
    return int(row["rows"])


async def _version() -> str:
    is_sqlite = runtime().database.dialect.name == "sqlite"
    (row,) = await runtime().database.fetch(
        "SELECT sqlite_version() AS version" if is_sqlite else "SELECT current_setting('server_version') AS version"
    )
    return f"{'SQLite' if is_sqlite else 'PostgreSQL'} {row['version']}"


async def _size_bytes() -> int:
    is_sqlite = runtime().database.dialect.name == "sqlite"
    (row,) = await runtime().database.fetch(
        "SELECT page_count * page_size AS bytes FROM pragma_page_count(), pragma_page_size()"
        if is_sqlite
        else "SELECT pg_database_size(current_database()) AS bytes"
    )
    return int(row["bytes"])
