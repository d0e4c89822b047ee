"""`postroom init | update`: bringing a database up to the addons."""

from __future__ import annotations

from typing import Annotated

import typer

from core.cli.command import command, host
from core.cli.output import Json, print_json
from core.host.install import UpdateReport, installed, plan_update
from core.host.install import update as update_host
from core.runtime import Runtime

DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would be done, and do nothing.")]


def add_to(app: typer.Typer) -> None:
    command(app, "init")(init)
    command(app, "update")(update)


async def init(
    demo: Annotated[bool, typer.Option("--demo", help="Load the demo records too.")] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Set up the database: schema, models, shipped records. Safe to repeat.

    Example: postroom init --demo
    """
    async with host(current=False) as runtime:
        _print(await _update(runtime, demo, dry_run), await installed(runtime), dry_run, as_json)


async def update(dry_run: DryRun = False, as_json: Json = False) -> None:
    """Bring the database up to date with the installed version of the addons.

    Example: postroom update --dry-run
    """
    await init(demo=False, dry_run=dry_run, as_json=as_json)


async def _update(runtime: Runtime, demo: bool, dry_run: bool) -> UpdateReport:
    return await (plan_update(runtime, demo=demo) if dry_run else update_host(runtime, demo=demo))


def _print(report: UpdateReport, addons: dict[str, str], dry_run: bool, as_json: bool) -> None:
    if as_json:
        print_json({"dry_run": dry_run, "changes": list(report.words), "addons": addons})
        return
    for line in report.words:
        typer.echo(("would " if dry_run else "") + line)
    typer.echo("Nothing to do." if not report.words else f"{len(report.words)} changes{' planned' if dry_run else ''}.")
