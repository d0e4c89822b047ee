"""`postroom server`: which mail servers there are, which one sends what, and whether each can be reached."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import Annotated, Any
from urllib.parse import parse_qs, urlsplit

import typer

from core.cli.command import EXIT_FAILED, EXIT_TEMPORARY, command, host, read_input
from core.cli.output import Json, print_done, print_json, print_rows, shown
from core.delivery.servers import CONFIG, NO_SERVER, load_servers, overview
from core.errors import UnknownName, UserError, did_you_mean
from core.mail.address import parse_address
from core.runtime import get_model
from core.transport.smtp import Envelope


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(help="See and test mail servers.", no_args_is_help=True)
    app.add_typer(group, name="server")
    command(group, "add")(add)
    command(group, "add-sign-in")(add_sign_in)
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
    columns = ("name", "direction", "address", "state", "paused_until", "reason", "risks")
    print_rows(rows, columns, as_json=as_json, empty="No mail server; set SMTP_SERVER.")


async def resume(name: str, as_json: Json = False) -> None:
    """Send through a paused server again at once, after its fault is mended.

    Example: postroom server resume config
    """
    async with host():
        row = next((one for one in await _outgoing_rows() if one["name"] == name), None)
        if row is None:
            raise UnknownName(f'There is no outgoing server "{name}"; see `postroom server ls`.')
        lifted = await get_model("ServerPause").filter(server=row["key"]).delete()
    said = f"{name} is used again." if lifted else f"{name} was not paused."
    print_done(said, as_json=as_json, name=name, was_paused=bool(lifted))


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


async def add(
    name: Annotated[str, typer.Argument(help="What people call it.")],
    server: Annotated[str, typer.Option("--host", help="The SMTP server's name.")],
    port: Annotated[int, typer.Option(help="587 or 465 as a rule.")] = 587,
    tls: Annotated[str, typer.Option(help="auto, implicit, starttls or none.")] = "auto",
    username: Annotated[str, typer.Option(help="What it logs in as; empty for no login.")] = "",
    password_file: Annotated[
        Path | None, typer.Option(help="The file that holds the password; - for the input.")
    ] = None,
    sign_in: Annotated[str, typer.Option(help="The sign-in that takes the place of a password.")] = "",
    from_domain: Annotated[list[str] | None, typer.Option(help="A domain it may write as; may be repeated.")] = None,
    priority: Annotated[int, typer.Option(help="Lower ones are asked first.")] = 10,
    as_json: Json = False,
) -> None:
    """Make an outgoing server; `postroom server test NAME` then tries it.

    Example: postroom server add Sales --host smtp.acme.test --username sales@acme.test --password-file secret
    """
    values = {"server": server, "port": port, "tls": tls, "username": username, "priority": priority}
    password = secret_from(password_file)
    async with host():
        await _require_new("OutgoingMailServer", name)
        account = await sign_in_named(sign_in) if sign_in else None
        auth = "oauth2" if account else "password" if username else "none"
        made = await get_model("OutgoingMailServer").create(
            name=name, **values, password=password, auth=auth, oauth=account, from_domains=from_domain or []
        )
    print_done(f"Made. Try it: postroom server test {quote(name)}", as_json=as_json, id=made.pk, name=name)


async def add_sign_in(
    name: Annotated[str, typer.Argument(help="What people call it.")],
    provider: Annotated[str, typer.Option(help="google, microsoft or custom.")],
    client_id: Annotated[str, typer.Option(help="This application's id at the provider.")],
    client_secret_file: Annotated[
        Path | None, typer.Option(help="The file that holds its secret; - for the input.")
    ] = None,
    tenant: Annotated[str, typer.Option(help="Microsoft's directory: its id or domain.")] = "",
    authorization_url: Annotated[str, typer.Option(help="Of a custom provider.")] = "",
    token_url: Annotated[str, typer.Option(help="Of a custom provider.")] = "",
    scopes: Annotated[str, typer.Option(help="Instead of the provider's usual ones, separated by spaces.")] = "",
    as_json: Json = False,
) -> None:
    """Make a sign-in at a mail provider (OAuth 2), for servers to log in by.

    Example: postroom server add-sign-in Office --provider google --client-id ID --client-secret-file secret
    """
    places = {"tenant": tenant, "authorization_url": authorization_url, "token_url": token_url, "scopes": scopes}
    secret = secret_from(client_secret_file)
    async with host():
        await _require_new("OAuthAccount", name)
        account = await get_model("OAuthAccount").create(
            name=name, provider=provider, client_id=client_id, client_secret=secret, **places
        )
        redirect = account.redirect_url
    said = f"Made. The provider must know this redirect address: {redirect}"
    said += f"\nSign in: postroom server authorize {quote(name)}"
    print_done(said, as_json=as_json, id=account.pk, name=name, redirect_address=redirect)


def secret_from(file: Path | None) -> str:
    """Read a secret from a file, or from the input; never from the command line, where others could see it."""
    if file is None:
        return ""
    try:
        return (read_input() if str(file) == "-" else file.read_bytes()).decode().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} cannot be read: {error}") from error


async def _require_new(model: str, name: str) -> None:
    if name == CONFIG or await get_model(model).exists(name=name):
        raise UserError(f'There is a "{name}" already; choose another name.')


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
    as_json: Json = False,
) -> None:
    """Print the address at which to sign in at the provider (OAuth 2); the page that comes after it ends the sign-in.

    Example: postroom server authorize "Office mail"
    """
    async with host():
        account = await sign_in_named(name)
        if answer:
            fields = {key: values[0] for key, values in parse_qs(urlsplit(answer).query).items()}
            account = await type(account).end_sign_in(fields.get("state", ""), fields.get("code", ""))
            print_done(f"{account.name} is signed in.", as_json=as_json, name=account.name, is_signed_in=True)
            return
        address = await account.begin_sign_in()
        told = {"name": account.name, "address": address, "redirect_address": account.redirect_url}
        print_done(address, as_json=as_json, **told)
        if not as_json:
            typer.echo(f"The provider must know this redirect address: {account.redirect_url}", err=True)


async def sign_in_named(name: str) -> Any:
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
    steps: Sequence[Any]
    if name == "config":
        steps = await outgoing.test_configured(envelope)
        return steps
    known = ["config"]
    for record in await outgoing.all():
        if name in (record.name, record.identifier):
            steps = await record.test_connection(envelope)
            return steps
        known.append(record.name)
    for record in await get_model("IncomingMailServer").all():
        if name in (record.name, record.identifier):
            steps = await record.test_connection()
            return steps
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
            "state": one.state,
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
            "state": str(one.state),
            "paused_until": one.next_fetch_at,
            "reason": one.last_error,
            "risks": [] if one.verify_certificate else ["any certificate is accepted"],
        }
        for one in await get_model("IncomingMailServer").all().order_by("name")
    ]
