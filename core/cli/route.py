"""`postroom route`: where mail goes, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from core.cli.command import command, host
from core.cli.inbound import print_account
from core.cli.output import Json, print_rows
from core.errors import UserError
from core.gateway.explain import explain as explain_mail
from core.runtime import get_model, settings


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(help="See and explain the routes of inbound mail.", no_args_is_help=True)
    app.add_typer(group, name="route")
    command(group, "ls")(ls)
    command(group, "explain")(explain)


async def ls(as_json: Json = False) -> None:
    """List the aliases and what their mail becomes.

    Example: postroom route ls
    """
    async with host():
        rows = [
            {
                "address": f"{route.address}@{route.domain or settings().MAIL_DOMAIN}",
                "target_model": route.target_model,
                "sender_policy": route.sender_policy,
                "defaults": route.defaults,
                "active": route.active,
            }
            for route in await get_model("EmailRoute").all().order_by("address")
        ]
        columns = ("address", "target_model", "sender_policy", "active")
        print_rows(rows, columns, as_json=as_json, empty="No routes; addons bring them, or make an EmailRoute.")


async def explain(file: Annotated[Path, typer.Argument(help="A raw mail.")], as_json: Json = False) -> None:
    """Say where a mail would go and which rule decides it; nothing is written.

    Example: postroom route explain mail.eml
    """
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from error
    async with host():
        print_account(await explain_mail(raw), as_json=as_json)
