"""`postroom seed`: applying the addons' YAML records."""

from __future__ import annotations

from typing import Annotated

import typer

from core.cli.command import command, host
from core.cli.init import DryRun
from core.cli.output import Json, print_json
from core.host.install import plan_seed
from core.host.install import seed as apply_seeds


def add_to(app: typer.Typer) -> None:
    command(app, "seed")(seed)


async def seed(
    addons: Annotated[list[str] | None, typer.Argument(help="Only these addons.")] = None,
    demo: Annotated[bool, typer.Option("--demo", help="The demo records too.")] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Apply the shipped records of the addons; what a user changed stays, and is reported.

    Example: postroom seed --dry-run
    """
    async with host() as runtime:
        reports = await (plan_seed if dry_run else apply_seeds)(runtime, addons or (), demo=demo)
    lines = [line for report in reports for line in report.words]
    if as_json:
        print_json({"dry_run": dry_run, "changes": lines})
        return
    for line in lines:
        typer.echo(line)
    typer.echo("Nothing to do." if not lines else f"{len(lines)} lines{' planned' if dry_run else ''}.")
