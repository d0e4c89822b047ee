"""`postroom server`: which mail servers there are, which one sends what, and whether each can be reached."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import parse_qs, urlsplit

import typer

from core.cli.command import EXIT_FAILED, EXIT_TEMPORARY, command, host
from core.cli.output import Json, print_json, print_rows, shown
from core.delivery.servers import NO_SERVER, load_servers, overview
from core.errors import UnknownName, did_you_mean
from core.mail.address import parse_address
from core.runtime import get_model
from core.transport.smtp import Envelope


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(help="See and test mail servers.", no_args_is_help=True)
    app.add_typer(group, name="server")
    command(group, "authorize")(authorize)
    command(group, "explain")(explain)
    command(group, "ls")(ls)
    command(group, "resume")(resume)
    command(group, "test")(test)


async def ls(as_json: Json = False) -> None:
    """List the mail servers, both ways, and which of them are paused or failing, and why.

    Example: postroom server ls
    """
    async with host():
        rows = [*await _outgoing_rows(), *await _incoming_rows()]
    columns = ("name", "direction", "address", "active", "paused_until", "reason", "risks")
    print_rows(rows, columns, as_json=as_json, empty="No mail server; set SMTP_SERVER.")


async def resume(name: str) -> None:
    """Send through a paused server again at once, after its fault is mended.

    Example: postroom server resume config
    """
    async with host():
        row = next((one for one in await _outgoing_rows() if one["name"] == name), None)
        if row is None:
            raise UnknownName(f'There is no outgoing server "{name}"; see `postroom server ls`.')
        lifted = await get_model("ServerPause").filter(server=row["key"]).delete()
    typer.echo(f"{name} is used again." if lifted else f"{name} was not paused.")


async def test(
    name: Annotated[str, typer.Argument(help='A server\'s name or identifier, or "config" for the SMTP_* keys.')],
    sender: Annotated[str, typer.Option("--from", help="Ask whether mail from this address is taken.")] = "",  # noqa: PT028
    to: Annotated[str, typer.Option("--to", help="And whether it is taken for this one; nothing is sent.")] = "",  # noqa: PT028
    as_json: Json = False,  # noqa: PT028 - a command, not a test
) -> int:
    """Connect to a mail server step by step, each step timed, with what to do where one fails.

    Example: postroom server test config
    """
    envelope = Envelope(sender, (to or sender,), 0) if sender else None
    async with host():
        steps = await _steps(name, envelope)
    if as_json:
        named = ("name", "ok", "detail", "hint")
        print_json([{name: getattr(one, name) for name in named} | {"ms": one.duration_ms} for one in steps])
    else:
        for one in steps:
            state = "ok    " if one.ok else "FAILED"
            typer.echo(f"{state} {one.name:10} {one.duration_ms:7.1f} ms  {shown(one.detail)}")
            if one.hint:
                typer.echo(f"       {'':10} -> {one.hint}")
    return 0 if all(one.ok for one in steps) else EXIT_TEMPORARY


async def explain(
    sender: Annotated[str, typer.Option("--from", help="The From address.")],
    user: Annotated[str, typer.Option(help="The login of the user who writes.")] = "",
    as_json: Json = False,
) -> int:
    """Say which server would send a mail, and why each one before it would not.

    Example: postroom server explain --from office@acme.test
    """
    async with host():
        author = await _user(user) if user else None
        servers = await load_servers()
        address = parse_address(sender).address
        choices = servers.explain(author and author.pk, author and author.company_id, address)
        rows = [
            {
                "order": index,
                "server": one.server.name,
                "address": str(one.server.account),
                "chosen": one.is_chosen,
                "reason": one.why_not or one.server.fault or ("sends it" if one.is_chosen else "comes later"),
            }
            for index, one in enumerate(choices, 1)
        ]
    print_rows(rows, ("order", "server", "address", "chosen", "reason"), as_json=as_json, empty=NO_SERVER)
    return 0 if any(one.is_chosen for one in choices) else EXIT_FAILED


async def authorize(
    name: Annotated[str, typer.Argument(help="A mail sign-in's name or identifier, or that of a server that uses it.")],
    answer: Annotated[
        str, typer.Option(help="The address that the provider sent the browser back to, where no page of ours answers.")
    ] = "",
) -> None:
    """Print the address at which to sign in at the provider (OAuth 2); the page that comes after it ends the sign-in.

    Example: postroom server authorize "Office mail"
    """
    async with host():
        account = await _sign_in(name)
        if answer:
            fields = {key: values[0] for key, values in parse_qs(urlsplit(answer).query).items()}
            account = await type(account).end_sign_in(fields.get("state", ""), fields.get("code", ""))
            typer.echo(f"{account.name} is signed in.")
            return
        typer.echo(await account.begin_sign_in())
        typer.echo(f"The provider must know this redirect address: {account.redirect_url}", err=True)


async def _sign_in(name: str) -> Any:
    accounts = await get_model("OAuthAccount").all()
    for account in accounts:
        if name in (account.name, account.identifier):
            return account
    for model in ("OutgoingMailServer", "IncomingMailServer"):
        for server in await get_model(model).filter(oauth_id__not_isnull=True).select_related("oauth"):
            if name in (server.name, server.identifier):
                return server.oauth
    known = [account.name for account in accounts]
    hint = did_you_mean(name, known) or " Make an OAuthAccount record first."
    raise UnknownName(f'There is no mail sign-in "{name}".{hint}')


async def _user(login: str) -> Any:
    user = await get_model("User").get_or_none(login=login.strip().casefold())
    if user is None:
        raise UnknownName(f'There is no user "{login}".')
    return user


async def _steps(name: str, envelope: Envelope | None) -> Sequence[Any]:
    outgoing = get_model("OutgoingMailServer")
    if name == "config":
        return await outgoing.test_configured(envelope)  # type: ignore[no-any-return]
    known = ["config"]
    for record in await outgoing.all():
        if name in (record.name, record.identifier):
            return await record.test_connection(envelope)  # type: ignore[no-any-return]
        known.append(record.name)
    for record in await get_model("IncomingMailServer").all():
        if name in (record.name, record.identifier):
            return await record.test_connection()  # type: ignore[no-any-return]
        known.append(record.name)
    raise UnknownName(f'There is no mail server "{name}".{did_you_mean(name, known)} There are: {", ".join(known)}.')


async def _outgoing_rows() -> list[dict[str, Any]]:
    """The outgoing servers with their pauses; `key` is what a pause calls the server."""
    return [
        {
            "key": one.key,
            "name": one.name,
            "direction": "out",
            "address": str(one.server.account) if one.server else "",
            "active": one.is_active,
            "paused_until": one.paused_until,
            "reason": one.reason,
            "risks": list(one.server.risks) if one.server else [],
        }
        for one in await overview()
    ]


async def _incoming_rows() -> list[dict[str, Any]]:
    return [
        {
            "key": str(one.pk),
            "name": one.name,
            "direction": "in",
            "address": f"{one.server}:{one.port}",
            "active": one.active,
            "paused_until": None,
            "reason": one.last_error,
            "risks": [] if one.verify_certificate else ["any certificate is accepted"],
        }
        for one in await get_model("IncomingMailServer").all().order_by("name")
    ]
