"""`postroom inbound`: mail that comes in."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from core.cli.command import EXIT_FAILED, EXIT_TEMPORARY, command, host
from core.cli.output import Json, print_json, print_json_line, print_rows, shown
from core.gateway.fetch import fetch_all
from core.gateway.load import load as load_mails
from core.gateway.receive import process_pending
from core.gateway.replay import replay as replay_mail
from core.gateway.values import Account
from core.runtime import get_model


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(help="Fetch, load and look into inbound mail.", no_args_is_help=True)
    app.add_typer(group, name="inbound")
    for function in (ls, fetch, load, replay, quarantine):
        command(group, function.__name__)(function)


async def ls(
    state: Annotated[str | None, typer.Option(help="Only this state, e.g. unmatched.")] = None,
    limit: Annotated[int, typer.Option(help="How many, the newest first.")] = 50,
    as_json: Json = False,
) -> None:
    """List what came in, and what became of it.

    Example: postroom inbound ls --state unmatched
    """
    async with host():
        mails = get_model("InboundEmail").all()
        if state is not None:
            mails = mails.filter(state=state)
        names = ("id", "received_at", "state", "outcome", "sender", "subject", "source", "tries", "error")
        rows = [dict(row) for row in await mails.order_by("-id").limit(limit).values(*names)]
        columns = ("id", "received_at", "state", "outcome", "sender", "subject")
        print_rows(rows, columns, as_json=as_json, empty="No inbound mail here.")


async def fetch(
    once: Annotated[bool, typer.Option("--once", help="Fetch once and end; also the default.")] = True,
    as_json: Json = False,
) -> int:
    """Fetch new mail from all mailboxes and deal with it.

    Example: postroom inbound fetch --once
    """
    del once  # One round is all that this command does; a worker does it by the calendar.
    async with host():
        reports = await fetch_all()
        processed = await process_pending()
    rows = [asdict(one) for one in reports]
    if as_json:
        print_json({"servers": rows, "processed": processed.outcomes})
    else:
        columns = ("server", "stored", "known", "left_behind", "skipped", "error")
        print_rows(rows, columns, as_json=False, empty="No mailbox is fetched; make an IncomingMailServer.")
        typer.echo(f"{processed.count} mails dealt with.")
    return EXIT_TEMPORARY if any(row["error"] for row in rows) else 0


async def load(
    paths: Annotated[list[Path], typer.Argument(help="Raw mails, folders of them, or mbox files.")],
    as_json: Json = False,
) -> int:
    """Bring raw mail in through the same spool and rules as any other; one line a mail.

    Example: postroom inbound load mail.eml --json
    """
    failed = 0
    async with host():
        async for account in load_mails(paths):
            print_account(account, as_json=as_json)
            failed += bool(account.error)
    return EXIT_FAILED if failed else 0


async def replay(
    spool_id: Annotated[int, typer.Argument(help="The id that `inbound ls` shows.")], as_json: Json = False
) -> None:
    """Put a mail that matched nothing, was ignored or set aside through the rules again.

    Example: postroom inbound replay 7
    """
    async with host():
        print_account(await replay_mail(spool_id), as_json=as_json)


async def quarantine(as_json: Json = False) -> None:
    """List the mails that were set aside whole after repeated failures.

    Example: postroom inbound quarantine
    """
    await ls(state="quarantined", as_json=as_json)


def print_account(account: Account, *, as_json: bool) -> None:
    """Print where a mail went: one JSON line, or the trace in words."""
    line = account.as_dict()
    if as_json:
        print_json_line(line)
        return
    where = f" {line['record']}" if line["record"] else ""
    typer.echo(f"{shown(line['source'])}: {line['outcome']}{where}")
    for number, step in enumerate(line["trace"], 1):
        typer.echo(f"  {number:2}. {'yes' if step['hit'] else 'no ':3} {step['rule']}: {shown(step['reason'])}")
    if line["error"]:
        typer.echo(f"  error: {shown(line['error'])}")
