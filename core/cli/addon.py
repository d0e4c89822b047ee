"""`postroom addon`: what is there, and taking one away."""

from __future__ import annotations

from typing import Annotated

import typer

from core.cli.command import EXIT_FAILED, command, host
from core.cli.output import Json, print_json, print_rows
from core.host.install import installed
from core.host.install import uninstall as uninstall_addon

_group = "addon"


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(help="See, install and remove addons.", no_args_is_help=True)
    app.add_typer(group, name=_group)
    command(group, "ls")(ls)
    command(group, "uninstall")(uninstall)


async def ls(as_json: Json = False) -> None:
    """List the addons that are found, in dependency order, and which version is installed.

    Example: postroom addon ls
    """
    async with host(current=False) as runtime:
        versions = await installed(runtime)
        rows = [
            {
                "name": one.name,
                "title": one.title,
                "version": one.version,
                "installed": versions.get(one.name),
                "depends": list(one.depends),
                "models": [entry.name for entry in runtime.registry if entry.addon == one.name],
            }
            for one in runtime.addons
        ]
        columns = ("name", "title", "version", "installed", "depends")
        print_rows(rows, columns, as_json=as_json, empty="No addons; `postroom init` installs those that ship.")


async def uninstall(
    name: str,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, only say what would be dropped.")] = False,
    as_json: Json = False,
) -> int | None:
    """Remove an addon's tables, columns and records. Says what it drops; does it only with --yes.

    Example: postroom addon uninstall crm --yes
    """
    async with host() as runtime:
        words = await uninstall_addon(runtime, name, dry_run=not yes)
    if as_json:
        print_json({"addon": name, "done": yes, "drops": list(words)})
    else:
        for line in words:
            typer.echo(line)
        typer.echo(f"{name} is uninstalled." if yes else "Nothing was done; repeat with --yes to do this.")
    return None if yes else EXIT_FAILED
