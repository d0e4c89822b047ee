"""`postroom inbound`: mail that comes in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from core.cli.command import (
    EXIT_FAILED,
    EXIT_TEMPORARY,
    LARGEST_ID,
    LARGEST_LIMIT,
    command,
    host,
    record_named,
)
from core.cli.mailbox import add, folders, resume, status
from core.cli.output import Json, print_done, print_json, print_json_line, print_rows, shown
from core.cli.queue import known_state
from core.errors import UnknownName, UserError
from core.gateway.by_hand import assign as assign_mail
from core.gateway.by_hand import create as create_record
from core.gateway.by_hand import discard as discard_mail
from core.gateway.fetch import fetch_all
from core.gateway.load import load as load_mails
from core.gateway.lookup import open_lookup
from core.gateway.receive import process_pending
from core.gateway.replay import replay as replay_mail
from core.gateway.replay import replay_all
from core.gateway.values import Account
from core.runtime import get_model, settings
from core.web.words import mark, outcome_sentence

SpoolId = Annotated[int, typer.Argument(max=LARGEST_ID, help="The id that `inbound ls` shows.")]

_SHOWN_CHARS = 100
_NEXT_STEPS = {
    "received": "a worker deals with it; see `postroom doctor` where none does",
    "unmatched": "mend a route and `postroom inbound replay ID`, or `postroom inbound assign | create | discard ID`",
    "quarantined": "mend the cause, then `postroom inbound replay ID`",
}


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(help="Fetch, load and look into inbound mail.", no_args_is_help=True)
    app.add_typer(group, name="inbound")
    for function in (ls, show, fetch, load, replay, assign, create, discard, quarantine, add, status, folders, resume):
        command(group, function.__name__)(function)


async def ls(
    state: Annotated[str | None, typer.Option(help="Only this state, e.g. unmatched.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=LARGEST_LIMIT, help="How many, the newest first.")] = 50,
    as_json: Json = False,
) -> None:
    """List what came in, and what became of it.

    Example: postroom inbound ls --state unmatched
    """
    async with host():
        mails = get_model("InboundEmail").all()
        if state is not None:
            mails = mails.filter(state=known_state("InboundEmail", "state", state))
        names = ("id", "received_at", "state", "outcome", "sender", "subject", "source", "tries", "error")
        rows = [dict(row) for row in await mails.order_by("-id").limit(limit).values(*names)]
        columns = ("id", "received_at", "state", "outcome", "sender", "subject")
        print_rows(rows, columns, as_json=as_json, empty="No inbound mail here.")


async def show(
    spool_id: SpoolId,
    raw: Annotated[bool, typer.Option("--raw", help="Print the mail's bytes as they came instead.")] = False,
    as_json: Json = False,
) -> None:
    """Show a mail: what became of it and where, who it is from, and each rule that was asked.

    Example: postroom inbound show 7
    """
    async with host():
        mail = await get_model("InboundEmail").get_or_none(id=spool_id)
        if mail is None:
            raise UnknownName(f"There is no mail {spool_id} in the spool; see `postroom inbound ls`.")
        if raw:
            typer.echo(await mail.content(), nl=False)
            return
    print_standing(mail, as_json)


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
        print_rows(rows, columns, as_json=False, empty="No mailbox is due; see `postroom inbound status`.")
        typer.echo(f"{processed.count} mails dealt with.")
    return EXIT_TEMPORARY if any(row["error"] for row in rows) else 0


async def load(
    paths: Annotated[
        list[Path], typer.Argument(help="Raw mails, folders of them (*.eml, *.mbox, Maildirs), or mbox files.")
    ],
    as_json: Json = False,
) -> int:
    """Bring raw mail in through the same spool and rules as any other; with --json one line a mail.

    Example: postroom inbound load mail.eml --json
    """
    failed = 0
    async with host():
        async for account in load_mails(paths):
            print_account(account, as_json=as_json)
            failed += bool(account.error)
    return EXIT_FAILED if failed else 0


async def replay(
    spool_id: Annotated[int | None, typer.Argument(max=LARGEST_ID, help="The id that `inbound ls` shows.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="All that are in quarantine.")] = False,
    unmatched: Annotated[bool, typer.Option("--unmatched", help="All that wait for a person.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Also one that became something: as a new mail, linked to the old one.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Put mails that are unmatched, set aside, discarded or in quarantine through the rules again.

    Example: postroom inbound replay --unmatched
    """
    states = [*(["quarantined"] if failed else []), *(["unmatched"] if unmatched else [])]
    if (spool_id is None) == (not states):
        raise typer.BadParameter("Give the id of a mail, or --failed, --unmatched, or both of them.")
    if again and spool_id is None:
        raise typer.BadParameter("--again is for one mail alone; what it became before stays.")
    worse = 0
    async with host():
        if spool_id is not None:
            account = await replay_mail(spool_id, again=again)
            print_account(account, as_json=as_json)
            return EXIT_FAILED if account.error else 0
        async for _, account in replay_all(states):
            print_account(account, as_json=as_json)
            worse += bool(account.error)
    return EXIT_FAILED if worse else 0


async def assign(
    spool_id: SpoolId,
    record: Annotated[str, typer.Argument(help="Where it belongs: a model and an id, such as CrmLead:7.")],
    as_json: Json = False,
) -> None:
    """Put a mail that the rules led nowhere on a record's timeline.

    Example: postroom inbound assign 7 CrmLead:12
    """
    model, record_id = record_named(record)
    async with host():
        print_account(await assign_mail(spool_id, model, record_id), as_json=as_json)


async def create(
    spool_id: SpoolId,
    alias: Annotated[str, typer.Argument(help="The alias of a route, such as leads or leads@example.com.")],
    as_json: Json = False,
) -> None:
    """Let a route make a record of a mail that the rules led nowhere, whoever sent it.

    Example: postroom inbound create 7 leads
    """
    async with host():
        route = (await open_lookup()).route_of(alias if "@" in alias else f"{alias}@{settings().MAIL_DOMAIN}")
        if route is None:
            raise UserError(f"No active route has the alias {alias}; see `postroom route ls`.")
        print_account(await create_record(spool_id, route.id), as_json=as_json)


async def discard(
    spool_id: SpoolId,
    reason: Annotated[str, typer.Option(help="Why; it is kept with the mail.")] = "",
    as_json: Json = False,
) -> None:
    """Say that nobody need look at a mail any more; it stays, whole, and `inbound replay` brings it back.

    Example: postroom inbound discard 7 --reason advertisement
    """
    async with host():
        await discard_mail(spool_id, reason)
    said = f"Mail {spool_id} is discarded, and kept."
    print_done(said, as_json=as_json, id=spool_id, state="discarded", reason=reason)


async def quarantine(as_json: Json = False) -> None:
    """List the mails that are kept whole after repeated failures, for a person to look at.

    Example: postroom inbound quarantine
    """
    await ls(state="quarantined", as_json=as_json)


def print_standing(mail: Any, as_json: bool) -> None:
    """Print how a mail of the spool stands: what became of it, what to do, and each rule that was asked."""
    proof = mail.authentication or {}
    row = {
        "id": mail.pk,
        "state": mail.state,
        "outcome": mail.outcome,
        "standing": outcome_sentence(mail),
        "next_step": _NEXT_STEPS.get(mail.state, "").replace("ID", str(mail.pk)),
        "record": f"{mail.res_model}:{mail.res_id}" if mail.res_model else None,
        "sender": mail.sender,
        "authenticity": proof.get("verdict"),
        "authenticity_reason": proof.get("reason"),
        "subject": mail.subject,
        "received_at": mail.received_at,
        "source": mail.source,
        "size_bytes": mail.size_bytes,
        "original": mail.original_id,
        "answer": mail.answer,
        "tries": mail.tries,
        "error": mail.error,
    }
    if as_json:
        print_json({**row, "trace": mail.trace})
        return
    for name, value in row.items():
        if shown(value):
            typer.echo(f"{name.replace('_', ' '):>19}  {mark(value).word if name == 'state' else shown(value)}")
    print_trace(mail.trace)


def print_account(account: Account, *, as_json: bool) -> None:
    """Print where a mail went: one JSON line, or the trace in words."""
    line = account.as_dict()
    if as_json:
        print_json_line(line)
        return
    where = f" {' '.join(line['records'] or [line['record']])}" if line["record"] else ""
    typer.echo(f"{shown(line['file'] or line['source'])}: {line['outcome']}{where}")
    print_trace(line["trace"])
    for alias, fields in line["fields"].items():
        typer.echo(f"  {shown(alias)} would make:")
        for name, value in fields.items():
            typer.echo(f"    {name}: {shown(value)[:_SHOWN_CHARS].splitlines()[0] if value else ''}")
    if line["answer"]:
        typer.echo(f"  answer: {shown(line['answer'])}")
    if line["error"]:
        typer.echo(f"  error: {shown(line['error'])}")


def print_trace(steps: Iterable[Mapping[str, Any]]) -> None:
    """Print each rule that was asked, in order, with its answer."""
    for number, step in enumerate(steps, 1):
        typer.echo(f"  {number:2}. {'yes' if step['hit'] else 'no ':3} {step['rule']}: {shown(step['reason'])}")
