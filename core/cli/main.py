"""`postroom`: the command line."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import typer

from core.cli.addon_commands import add_addon_commands
from core.cli.command import Options, options
from core.cli.logs import set_up_logs

_FILES = (
    "addon",
    "config",
    "cron",
    "dkim",
    "doctor",
    "inbound",
    "init",
    "queue",
    "route",
    "secret",
    "seed",
    "serve",
    "server",
    "suppression",
    "template",
    "user",
)
"""The files of this package that add commands."""
_ELSEWHERE = MappingProxyType({"update": "init", "run": "serve", "worker": "serve"})
"""The commands that are not in the file of their name."""


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
    for name in _files_for(words):
        import_module(f"core.cli.{name}").add_to(app)
    add_addon_commands(app, words)
    return app


def _files_for(words: list[str]) -> Iterable[str]:
    """Name the files that the words ask for: all, where they name no command, since then somebody looks for one.

    The engines behind the commands take longer to load than most commands take to run.
    """
    named = {_ELSEWHERE.get(word, word) for word in words}
    return [name for name in _FILES if name in named] or _FILES


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
