"""`postroom config`: every setting, its value and where that comes from."""

from __future__ import annotations

import typer

from core.cli.command import command, configuration
from core.cli.output import Json, print_rows


def add_to(app: typer.Typer) -> None:
    command(app, "config")(config)


def config(as_json: Json = False) -> None:
    """Print each configuration value with its origin; secrets are masked.

    Example: postroom config --json
    """
    rows = [{"key": key, "value": value, "origin": str(origin)} for key, value, origin in configuration().shown()]
    print_rows(rows, ("key", "value", "origin"), as_json=as_json, empty="")
