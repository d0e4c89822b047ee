"""`postroom user`: accounts."""

from __future__ import annotations

from typing import Annotated

import typer

from core.cli.command import command, host
from core.cli.output import Json, print_rows
from core.errors import UserError
from core.mail.address import parse_address
from core.orm.transaction import transaction
from core.runtime import get_model

_SHORTEST_PASSWORD = 8


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(help="See and make users.", no_args_is_help=True)
    app.add_typer(group, name="user")
    command(group, "ls")(ls)
    command(group, "add")(add)


async def ls(as_json: Json = False) -> None:
    """List the users.

    Example: postroom user ls
    """
    async with host():
        names = ("id", "login", "name", "is_admin", "active")
        rows = [dict(row) for row in await get_model("User").all().order_by("login").values(*names)]
        print_rows(rows, names, as_json=as_json, empty="No users; make one with `postroom user add`.")


async def add(
    login: Annotated[str, typer.Argument(help="The e-mail address to log in with.")],
    name: Annotated[str, typer.Option(help="The user's name.")],
    group: Annotated[list[str] | None, typer.Option(help="A group's identifier; may be repeated.")] = None,
    admin: Annotated[bool, typer.Option("--admin", help="Passes every access check.")] = False,
    password_file: Annotated[
        typer.FileText | None, typer.Option(help="Read the password from this file, or from - for standard input.")
    ] = None,
) -> None:
    """Make a user; asks for the password unless a file holds it.

    Example: postroom user add anna@example.org --name Anna --group user
    """
    password = _password(password_file)
    if len(password) < _SHORTEST_PASSWORD:
        raise UserError(f"The password is too short; use at least {_SHORTEST_PASSWORD} characters.")
    address = parse_address(login).address.casefold()
    async with host(), transaction():
        if await get_model("User").exists(login=address):
            raise UserError(f"There is a user {address} already.")
        groups = await get_model("Group").filter(identifier__in=group or [])
        missing = set(group or []) - {one.identifier for one in groups}
        if missing:
            raise UserError(f"There is no group {', '.join(sorted(missing))}.")
        contact = await get_model("Contact").create(name=name, email=address)
        user = get_model("User")(login=address, name=name, contact=contact, is_admin=admin)
        await user.set_password(password)
        await user.save()
        await user.groups.add(*groups)
    typer.echo(f"{address} can log in now.")


def _password(file: typer.FileText | None) -> str:
    if file is not None:
        return file.read().rstrip("\r\n")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
