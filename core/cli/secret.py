"""`postroom secret`: the keys that stored passwords and tokens are encrypted with."""

from __future__ import annotations

import typer

from core.cli.command import EXIT_FAILED, command, host
from core.cli.output import Json, print_json
from core.orm.rotation import rotate_secrets


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(help="Keys of stored passwords and tokens.", no_args_is_help=True)
    app.add_typer(group, name="secret")
    command(group, "rotate")(rotate)


async def rotate(as_json: Json = False) -> int:
    """Encrypt every stored password and token again, with the first key of SECRET_KEY.

    Put a new key in front (`SECRET_KEY: new,old`), restart, run this, then take the old one away.

    Example: postroom secret rotate
    """
    async with host() as runtime:
        done = await rotate_secrets(runtime.database)
    if as_json:
        print_json({"rotated": done.count, "unreadable": done.unreadable})
    else:
        typer.echo(f"{done.count} secrets are encrypted with the first key now.")
        for place in done.unreadable:
            typer.echo(f"No key reads {place}: enter it again, or add the key that it was encrypted with.", err=True)
    return EXIT_FAILED if done.unreadable else 0
