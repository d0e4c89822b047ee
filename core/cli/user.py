"""`postroom user`: accounts."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from tortoise.expressions import Q

from core.cli.command import command, host
from core.cli.output import Json, print_done, print_rows
from core.errors import UnknownName, UserError
from core.mail.address import parse_address
from core.models.user import require_password
from core.orm.transaction import transaction
from core.runtime import get_model

PasswordFile = Annotated[
    typer.FileText | None, typer.Option(help="Read the password from this file, or from - for standard input.")
]


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(help="See and make users.", no_args_is_help=True)
    app.add_typer(group, name="user")
    command(group, "ls")(ls)
    command(group, "add")(add)
    command(group, "password")(password)
    command(group, "groups")(groups)
    command(group, "disable")(disable)
    command(group, "enable")(enable)


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
    as_json: Json = False,
) -> None:
    """Make a user; asks for the password unless a file holds it.

    Example: postroom user add anna@example.org --name Anna --group user
    """
    secret = _password(password_file)
    address = parse_address(login).address.casefold()
    async with host(), transaction():
        if await get_model("User").exists(login=address):
            raise UserError(f"There is a user {address} already.")
        member_of = await _groups(group)
        of_company = await _company(company)
        contacts = get_model("Contact")
        # A customer who wrote before has records already, by its contact.
        known = contacts.filter(Q(company=None) | Q(company=of_company), email__iexact=address)
        contact = await known.order_by("id").first()
        contact = contact or await contacts.create(name=name, email=address, company=of_company)
        user = get_model("User")(login=address, name=name, contact=contact, company=of_company, is_admin=admin)
        await user.set_password(secret)
        await user.save()
        await user.groups.add(*member_of)
    said = f"{address} can log in now."
    if of_company is None and not admin:
        said += "\nIt belongs to no company, so it sees only records of none; --company names one."
    print_done(said, as_json=as_json, id=user.pk, login=address, company=of_company and of_company.name)


async def password(login: str, password_file: PasswordFile = None, as_json: Json = False) -> None:
    """Give a user a new password, which ends all of its sessions.

    Example: postroom user password anna@example.org
    """
    async with host():
        user = await _user(login)
        await user.change_password(_password(password_file))
    said = f"{user.login} has a new password" + ("." if user.active else ", and is switched off.")
    print_done(said, as_json=as_json, login=user.login, active=user.active)


async def groups(
    login: Annotated[str, typer.Argument(help="The user's login.")],
    add: Annotated[list[str] | None, typer.Option(help="A group to join; may be repeated.")] = None,
    remove: Annotated[list[str] | None, typer.Option(help="A group to leave; may be repeated.")] = None,
    as_json: Json = False,
) -> None:
    """Show a user's groups, once those asked for are added and removed; what they imply is not listed.

    Example: postroom user groups anna@example.org --add user
    """
    async with host(), transaction():
        user = await _user(login)
        await user.groups.add(*await _groups(add))
        if left := await _groups(remove):
            await user.groups.remove(*left)
        rows = [dict(row) for row in await user.groups.all().order_by("identifier").values("identifier", "name")]
        print_rows(rows, ("identifier", "name"), as_json=as_json, empty=f"{user.login} is in no group.")


async def disable(login: str, as_json: Json = False) -> None:
    """Switch a user off: its sessions end, its tokens are refused; nothing of it is deleted.

    Example: postroom user disable anna@example.org
    """
    async with host(), transaction():
        user = await _user(login)
        others = get_model("User").filter(is_admin=True, active=True).exclude(id=user.pk)
        if user.is_admin and user.active and not await others.exists():
            raise UserError(f"{user.login} is the only administrator; make another one first.")
        user.active = False
        await user.save(update_fields=["active"])
        await get_model("UserSession").end_all(user.pk)
    print_done(f"{user.login} is switched off.", as_json=as_json, login=user.login, active=False)


async def enable(login: str, as_json: Json = False) -> None:
    """Switch a user on again, with the tokens that it had.

    Example: postroom user enable anna@example.org
    """
    async with host():
        user = await _user(login)
        user.active = True
        await user.save(update_fields=["active"])
    print_done(f"{user.login} can log in again.", as_json=as_json, login=user.login, active=True)


async def _user(login: str) -> Any:
    user = await get_model("User").get_or_none(login=login.strip().casefold())
    if user is None:
        raise UnknownName(f"There is no user {login}; see `postroom user ls`.")
    return user


async def _groups(identifiers: list[str] | None) -> list[Any]:
    found: list[Any] = await get_model("Group").filter(identifier__in=identifiers or [])
    missing = set(identifiers or []) - {one.identifier for one in found}
    if missing:
        known = ", ".join(str(one) for one in await get_model("Group").all().values_list("identifier", flat=True))
        raise UserError(f"There is no group {', '.join(sorted(missing))}; there are {known}.")
    return found


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
    require_password(secret)
    return secret
