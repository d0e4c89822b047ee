"""`postroom seed`: applying the addons' YAML records."""

from __future__ import annotations

import typer

from core.cli.command import command, host
from core.cli.init import DryRun
from core.cli.output import Json, print_json
from core.host.install import plan_update
from core.host.install import update as update_host


def add_to(app: typer.Typer) -> None:
    command(app, "seed")(seed)


async def seed(dry_run: DryRun = False, as_json: Json = False) -> None:
    """Apply the shipped records of all addons; what a user changed stays, and is reported.

    Example: postroom seed --dry-run
    """
    async with host() as runtime:
        report = await (plan_update(runtime) if dry_run else update_host(runtime))
    lines = [line for one in report.seeds for line in one.words]
    if as_json:
        print_json({"dry_run": dry_run, "changes": lines})
        return
    for line in lines:
        typer.echo(line)
    typer.echo("Nothing to do." if not lines else f"{len(lines)} lines{' planned' if dry_run else ''}.")
