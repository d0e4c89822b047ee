"""`postroom inbound add | status | folders | resume`: the mailboxes that mail is fetched from."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from shlex import quote
from typing import Annotated, Any

import typer

from core.cli.command import EXIT_FAILED, EXIT_TEMPORARY, host
from core.cli.output import Json, print_done, print_json, print_rows, shown
from core.cli.server import secret_from, sign_in_named
from core.errors import UnknownName, UserError, did_you_mean
from core.runtime import get_model

_STATES = {
    "off": "off",
    "new": "not visited yet",
    "failing": "failing",
    "instant": "waited in",
    "used": "visited by the clock",
}


async def add(
    name: Annotated[str, typer.Argument(help="What people call it.")],
    server: Annotated[str, typer.Option("--host", help="The mail server's name.")],
    username: Annotated[str, typer.Option(help="What it logs in as, as a rule the mailbox's address.")],
    protocol: Annotated[str, typer.Option(help="imap or pop3.")] = "imap",
    port: Annotated[int, typer.Option(help="By default 993 for IMAP and 995 for POP3, both with TLS.")] = 993,
    tls: Annotated[str, typer.Option(help="implicit, starttls or none; by default what the port is for.")] = "",
    password_file: Annotated[
        Path | None, typer.Option(help="The file that holds the password; - for the input.")
    ] = None,
    sign_in: Annotated[str, typer.Option(help="The sign-in that takes the place of a password.")] = "",
    folder: Annotated[list[str] | None, typer.Option(help="A folder to fetch from; may be repeated.")] = None,
    old_mail: Annotated[
        str, typer.Option(help="What of the mail there now is taken: unseen, since, all or none.")
    ] = "unseen",
    old_mail_days: Annotated[int, typer.Option(help="Of the last so many days; 0 for any age.")] = 7,
    after_fetch: Annotated[str, typer.Option(help="What happens to it there: seen, keep, move or delete.")] = "seen",
    move_to: Annotated[str, typer.Option(help="The folder for --after-fetch move.")] = "",
    instant: Annotated[bool, typer.Option(help="Whether a worker waits in it (IMAP IDLE).")] = True,
    as_json: Json = False,
) -> None:
    """Make a mailbox that mail is fetched from; `postroom server test NAME` then tries it.

    Example: postroom inbound add Leads --host imap.acme.test --username leads@acme.test --password-file secret
    """
    values = {"server": server, "username": username, "protocol": protocol, "port": port, "tls": tls}
    policy = {
        "old_mail": old_mail,
        "old_mail_days": old_mail_days,
        "after_fetch": after_fetch,
        "move_to": move_to,
        "instant": instant,
    }
    password = secret_from(password_file)
    async with host():
        servers = get_model("IncomingMailServer")
        for other in (servers, get_model("OutgoingMailServer")):
            if await other.exists(name=name):
                raise UserError(f'There is a mail server "{name}" already; choose another name.')
        account = await sign_in_named(sign_in) if sign_in else None
        made = await servers.create(
            name=name, **values, **policy, password=password, oauth=account, folders=folder or ["INBOX"]
        )
    print_done(f"Made. Try it: postroom server test {quote(name)}", as_json=as_json, id=made.pk, name=name)


async def status(as_json: Json = False) -> int:
    """Show how each mailbox does: when it was last fetched from, what is wrong and what to do about it.

    Example: postroom inbound status
    """
    async with host():
        rows = [await _row(server) for server in await get_model("IncomingMailServer").all().order_by("name")]
    if as_json:
        print_json(rows)
    else:
        columns = ("name", "mailbox", "state", "last_success_at", "next_fetch_at", "left_behind")
        shown_rows = [{**row, "state": _STATES[row["state"]]} for row in rows]
        print_rows(shown_rows, columns, as_json=False, empty="No mailbox; make one: postroom inbound add --help")
        for row in rows:
            if row["last_error"]:
                typer.echo(f"\n{shown(row['name'])}: {shown(row['last_error'])}")
                typer.echo(f"  -> {shown(row['hint'])}" if row["hint"] else "")
    return EXIT_FAILED if any(row["state"] == "failing" for row in rows) else 0


async def folders(
    name: Annotated[str, typer.Argument(help="The mailbox's name or identifier.")], as_json: Json = False
) -> None:
    """List the folders that a mailbox has and what each is for, by the names to fetch from.

    Example: postroom inbound folders Leads
    """
    async with host():
        server = await _named(name)
        rows = [
            {
                "folder": one.name,
                "use": one.special_use,
                "fetched": one.name in server.folders,
                "can_be_opened": one.can_be_opened,
            }
            for one in await server.folder_list()
        ]
    print_rows(rows, ("folder", "use", "fetched"), as_json=as_json, empty="The server names no folder.")


async def resume(
    name: Annotated[str, typer.Argument(help="The mailbox's name or identifier.")], as_json: Json = False
) -> int:
    """Switch a mailbox on, forget its pause, and visit it at once, after its fault is mended.

    Example: postroom inbound resume Leads
    """
    async with host():
        server = await _named(name)
        server.active = True
        await server.save()
        await server.resume()
        fetched = await server.fetch()
    said = fetched.error or fetched.skipped or f"{name}: {fetched.stored} mails fetched."
    if fetched.error and fetched.hint:
        said += f"\n-> {fetched.hint}"
    print_done(said, as_json=as_json, **asdict(fetched))
    return EXIT_TEMPORARY if fetched.error else 0


async def _named(name: str) -> Any:
    servers = await get_model("IncomingMailServer").all()
    for server in servers:
        if name in (server.name, server.identifier):
            return server
    near = did_you_mean(name, [server.name for server in servers])
    raise UnknownName(f'There is no mailbox "{name}"; see `postroom inbound status`.{near}')


async def _row(server: Any) -> dict[str, Any]:
    left = await get_model("MailUid").filter(server_id=server.id, state="left").count()
    ends_at: datetime | None = (
        server.oauth_id and (await get_model("OAuthAccount").get(id=server.oauth_id)).refresh_until_at
    )
    return {
        "name": server.name,
        "mailbox": f"{server.username} at {server.server}:{server.port}",
        "protocol": server.protocol,
        "folders": server.folders if server.protocol == "imap" else [],
        "state": str(server.state),
        "last_success_at": server.last_success_at,
        "failures": server.failure_count,
        "failing_since_at": server.failing_since_at,
        "next_fetch_at": server.next_fetch_at,
        "left_behind": left,
        "last_error": server.last_error,
        "hint": server.last_hint,
        "sign_in_ends_at": ends_at,
    }
