"""`postroom`: the command line."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import typer

from core.cli.addon_commands import add_addon_commands
from core.cli.command import Options, loading, options

_COMMANDS = MappingProxyType(
    {
        "init": ("init", "Set up the database: schema, models, shipped records. Safe to repeat."),
        "update": ("init", "Bring the database up to date with the installed version of the addons."),
        "seed": ("seed", "Apply the shipped records of the addons; what a user changed stays, and is reported."),
        "config": ("config", "Print each configuration value with its origin; secrets are masked."),
        "doctor": (
            "doctor",
            "Check configuration, database, disk, mail set-up and workers; say how to mend what is wrong.",
        ),
        "run": ("serve", "Run everything in one process: web pages, scheduler, queue."),
        "serve": ("serve", "Run the web pages and the API only; `postroom worker` does the rest."),
        "worker": ("serve", "Run the scheduler and the mail queue; several workers share one database."),
        "access": ("access", "Say who may do what with which records, and why."),
        "account": ("account", "See, make and visit the mail accounts of teams."),
        "addon": ("addon", "See, install and remove addons."),
        "audit": ("audit", "Say who did what, the newest first."),
        "bench": ("bench", "Measure this host on its own configuration, with no mail sent and nothing kept."),
        "cron": ("cron", "See and run scheduled jobs."),
        "db": ("db", "See the database, and copy it."),
        "devmail": ("devmail", "See caught mail, and play those it was for."),
        "dkim": ("dkim", "Sign mail with DKIM."),
        "inbound": ("inbound", "Fetch, load and look into inbound mail."),
        "queue": ("queue", "See and steer outgoing mail."),
        "route": ("route", "See and explain the routes of inbound mail."),
        "secret": ("secret", "Keys of stored passwords and tokens."),
        "server": ("server", "See and test mail servers."),
        "suppression": ("suppression", "See and change whom no mail goes to."),
        "template": ("template", "See, try, compare and translate e-mail templates."),
        "token": ("token", "See, make and revoke the tokens of programs."),
        "user": ("user", "See and make users."),
        "webhook": ("webhook", "See and try the webhooks that others are told by."),
    }
)
"""Each command's file in this package, and what the list of all says of it."""


def build(words: list[str]) -> typer.Typer:
    """Return the application, with those commands whole that the words name, an addon's among them.

    Of the others there is what the list of all shows: the engines behind them take longer to load than most commands
    take to run.
    """
    app = typer.Typer(
        name="postroom",
        help="Business records with a timeline, and timelines that speak e-mail.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=True,
        rich_markup_mode=None,  # Rich would take a quarter of the time of `--help`.
        context_settings={"max_content_width": 120},
    )
    app.callback()(_before_all)
    named = dict.fromkeys(file for name, (file, _) in _COMMANDS.items() if name in words)
    for name, (file, text) in _COMMANDS.items():
        if file not in named:
            app.command(name, help=text)(_unnamed)
    if not all(word.startswith("-") for word in words):
        import_module("core.cli.logs")  # It must be the first to load structlog; help needs neither.
    for file in named:
        import_module(f"core.cli.{file}").add_to(app)
    add_addon_commands(app, words)
    return app


def _unnamed() -> None:
    """Stand for a command that the words do not name, which therefore cannot be called."""


def main() -> None:
    """The entry point of the `postroom` script."""
    with loading():
        app = build(_words())
    app()


def _words() -> list[str]:
    """Return what stands after `postroom`, also where a shell asks how it may go on."""
    typed = os.environ.get("_TYPER_COMPLETE_ARGS") or os.environ.get("COMP_WORDS") or ""
    return sys.argv[1:] or typed.split()[1:]


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # It brings the e-mail package; only this option needs it.

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
    from core.cli.logs import set_up_logs  # See `build`.

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
