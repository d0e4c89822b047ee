"""`postroom`: the command line."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from core.cli import (
    addon,
    config,
    cron,
    doctor,
    inbound,
    init,
    queue,
    route,
    seed,
    serve,
    server,
    template,
    user,
)
from core.cli.addon_commands import add_addon_commands
from core.cli.command import Options, options
from core.cli.logs import set_up_logs

_GROUPS = (addon, config, cron, doctor, inbound, init, queue, route, seed, serve, server, template, user)


def build(words: list[str]) -> typer.Typer:
    """Return the application; addons' commands are in it where the words do not name one of ours."""
    app = typer.Typer(
        name="postroom",
        help="Business records with a timeline, and timelines that speak e-mail.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=True,
    )
    app.callback()(_before_all)
    for group in _GROUPS:
        group.add_to(app)
    add_addon_commands(app, words)
    return app


def main() -> None:
    """The entry point of the `postroom` script."""
    build(sys.argv[1:])()


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("postroom"))
        raise typer.Exit


def _before_all(
    config_file: Annotated[
        Path | None, typer.Option("--config", help="The configuration file; config.yaml by default.")
    ] = None,
    set_key: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE, for this call only; may be repeated.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the log of what happens.")] = False,
    _version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True)] = False,
) -> None:
    set_up_logs(verbose=verbose)
    overrides = {}
    for pair in set_key or []:
        key, equals, value = pair.partition("=")
        if not equals:
            raise typer.BadParameter(f"--set takes KEY=VALUE, not {pair!r}")
        overrides[key] = value
    options.set(Options(config_file, overrides))


if __name__ == "__main__":
    main()
