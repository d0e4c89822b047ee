"""`postroom account`: teams' mail accounts, made from the settings that a team brings along, and visited by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError

from core.cli.command import EXIT_TEMPORARY, command, host
from core.cli.output import Json, print_done, print_json, print_rows
from core.cli.server import secret_from
from core.errors import UnknownName, UserError, did_you_mean
from core.orm.transaction import transaction
from core.runtime import get_model

_NEEDED = {"account": "the name of the account", "mail_from": "the address that its mail is from"}
Account = Annotated[str, typer.Argument(help="An account's name; all accounts where it is left out.")]


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(help="See, make and visit the mail accounts of teams.", no_args_is_help=True)
    app.add_typer(group, name="account")
    command(group, "add")(add)
    command(group, "ls")(ls)
    command(group, "pull")(pull)
    command(group, "push")(push)
    command(group, "sync")(sync)


async def ls(as_json: Json = False) -> None:
    """List the mail accounts with their teams and members.

    Example: postroom account ls
    """
    async with host():
        accounts = await get_model("MailAccount").all().order_by("account").prefetch_related("team__members")
        rows = [
            {
                "account": one.account,
                "team": one.team.name,
                "from": one.mail_from,
                "active": one.active,
                "members": [member.login for member in one.team.members],
            }
            for one in accounts
        ]
    columns = ("account", "team", "from", "active", "members")
    print_rows(rows, columns, as_json=as_json, empty="No mail account; make one with `postroom account add`.")


async def add(
    settings: Annotated[
        Path, typer.Argument(help="A JSON file: account, mail_from, mail_smtp_server, ...; - for the input.")
    ],
    team: Annotated[str, typer.Option(help="The team's name; a new one is made, of type mail.")],
    member: Annotated[list[str] | None, typer.Option(help="The login of a member; may be repeated.")] = None,
    as_json: Json = False,
) -> None:
    """Make a mail account, or set an existing one up anew; its password stands in the file alone.

    Example: postroom account add e-invoice.json --team Invoices --member anna@example.org
    """
    given = secret_from(settings)
    async with host(), transaction():
        values = _settings(given, str(settings))
        owner, _ = await get_model("Team").get_or_create(name=team, defaults={"type": "mail"})
        await owner.members.add(*[await _user(login) for login in member or []])
        accounts = get_model("MailAccount")
        record = await accounts.get_or_none(account=values["account"])
        if record is None:
            await accounts.create(**values, team=owner)
        else:
            await record.update_from_dict({**_defaults(), **values, "team": owner}).save()
    said = f"Made. Try it: postroom account sync {values['account']}"
    print_done(said, as_json=as_json, account=values["account"], team=owner.name)


async def pull(account: Account = "", as_json: Json = False) -> int:
    """Fetch what is new into mail storage.

    Example: postroom account pull e-invoice
    """
    return await _visit(account, as_json, pull=True)


async def push(account: Account = "", as_json: Json = False) -> int:
    """Send what was put into mail storage.

    Example: postroom account push e-invoice
    """
    return await _visit(account, as_json, push=True)


async def sync(account: Account = "", as_json: Json = False) -> int:
    """Pull, then push.

    Example: postroom account sync
    """
    return await _visit(account, as_json, pull=True, push=True)


async def _visit(name: str, as_json: bool, **ways: bool) -> int:
    async with host():
        accounts = get_model("MailAccount")
        chosen = await accounts.filter(active=True, **({"account": name} if name else {})).order_by("account")
        if name and not chosen:
            raise UnknownName(f'There is no active mail account "{name}"; see `postroom account ls`.')
        visits = await accounts.visit(chosen, **ways)
    rows = [
        {
            "account": one.account,
            "pulled": one.pulled,
            "queued": one.pushed.queued,
            "sent": one.pushed.sent,
            "failed": one.pushed.failed,
            "waiting": one.pushed.waiting,
            "told": " ".join(filter(None, [*one.errors, one.skipped])),
        }
        for one in visits
    ]
    if as_json:
        print_json(rows)
    else:
        columns = ("account", "pulled", "queued", "sent", "failed", "waiting", "told")
        print_rows(rows, columns, as_json=False, empty="No mail account.")
    return EXIT_TEMPORARY if any(one.errors for one in visits) else 0


def _settings(text: str, file: str) -> dict[str, Any]:
    """Read a team's settings; UserError for what is no JSON, no setting of a mail account, or missing."""
    try:
        values = json.loads(text)
    except ValueError as error:
        raise UserError(f"{file} is no JSON: {error}") from error
    if not isinstance(values, dict):
        raise UserError(f"{file} holds no settings; write them as a JSON object.")
    missing = next((name for name in _NEEDED if name not in values), None)
    if missing:
        raise UserError(f'{file} needs the key "{missing}", {_NEEDED[missing]}.')
    known = _known()
    unknown = next((name for name in values if name not in {*known, "account"}), None)
    if unknown:
        raise UserError(f'A mail account has no setting "{unknown}".{did_you_mean(unknown, known)}')
    return {name: _read(name, value) for name, value in values.items()}


def _read(name: str, value: object) -> Any:
    """Return a setting as its column has it, also where `"587"` or `"false"` was written; UserError for another kind.

    The message does not repeat the value, which may be a password.
    """
    column = get_model("MailAccount")._meta.fields_map[name]
    try:
        return TypeAdapter(column.field_type).validate_python(value)
    except ValidationError as error:
        raise UserError(f"{name}: {error.errors()[0]['msg']}.") from None


def _known() -> list[str]:
    return [name for name in get_model("MailAccount")._meta.db_fields if name.startswith("mail_")]


def _defaults() -> dict[str, Any]:
    """Return what a new account has where its file says nothing."""
    columns = get_model("MailAccount")._meta.fields_map
    return {name: columns[name].default for name in _known() if columns[name].default is not None}


async def _user(login: str) -> Any:
    user = await get_model("User").get_or_none(login=login.strip().casefold())
    if user is None:
        raise UnknownName(f'There is no user "{login}"; make it with `postroom user add`.')
    return user
