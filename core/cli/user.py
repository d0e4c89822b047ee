"""`postroom user`: accounts."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from core.cli.command import command, host
from core.cli.output import Json, print_rows
from core.errors import UnknownName, UserError
from core.mail.address import parse_address
from core.orm.transaction import transaction
from core.runtime import get_model

_SHORTEST_PASSWORD = 8

PasswordFile = Annotated[
    typer.FileText | None, typer.Option(help="Read the password from this file, or from - for standard input.")
]


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(help="See and make users.", no_args_is_help=True)
    app.add_typer(group, name="user")
    command(group, "ls")(ls)
    command(group, "add")(add)
    command(group, "password")(password)


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
    company: Annotated[str | None, typer.Option(help="Whose records to see; the only one, where there is one.")] = None,
    admin: Annotated[bool, typer.Option("--admin", help="Passes every access check.")] = False,
    password_file: PasswordFile = None,
) -> None:
    """Make a user; asks for the password unless a file holds it.

    Example: postroom user add anna@example.org --name Anna --group user
    """
    secret = _password(password_file)
    address = parse_address(login).address.casefold()
    async with host(), transaction():
        if await get_model("User").exists(login=address):
            raise UserError(f"There is a user {address} already.")
        groups = await get_model("Group").filter(identifier__in=group or [])
        missing = set(group or []) - {one.identifier for one in groups}
        if missing:
            known = ", ".join(str(one) for one in await get_model("Group").all().values_list("identifier", flat=True))
            raise UserError(f"There is no group {', '.join(sorted(missing))}; there are {known}.")
        of_company = await _company(company)
        contact = await get_model("Contact").create(name=name, email=address)
        user = get_model("User")(login=address, name=name, contact=contact, company=of_company, is_admin=admin)
        await user.set_password(secret)
        await user.save()
        await user.groups.add(*groups)
    typer.echo(f"{address} can log in now.")
    if of_company is None and not admin:
        typer.echo("It belongs to no company, so it sees only records of none; --company names one.")


async def password(login: str, password_file: PasswordFile = None) -> None:
    """Give a user a new password, which ends all of its sessions.

    Example: postroom user password anna@example.org
    """
    async with host():
        user = await get_model("User").get_or_none(login=login.strip().casefold())
        if user is None:
            raise UnknownName(f"There is no user {login}; see `postroom user ls`.")
        await user.set_password(_password(password_file))
        await user.save(update_fields=["password_hash"])
    typer.echo(f"{user.login} has a new password" + ("." if user.active else ", and is switched off."))


async def _company(name: str | None) -> Any:
    companies = await get_model("Company").all()
    if name is None:
        return companies[0] if len(companies) == 1 else None
    found = next((one for one in companies if one.name.casefold() == name.casefold()), None)
    if found is None:
        known = ", ".join(one.name for one in companies)
        raise UnknownName(f"There is no company {name}; there are {known}.")
    return found


def _password(file: typer.FileText | None) -> str:
    if file is not None:
        secret = file.read().rstrip("\r\n")
    else:
        secret = str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    if len(secret) < _SHORTEST_PASSWORD:
        raise UserError(f"The password is too short; use at least {_SHORTEST_PASSWORD} characters.")
    return secret
