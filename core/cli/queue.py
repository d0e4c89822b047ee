"""`postroom queue`: the outgoing mail."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from core.cli.command import EXIT_TEMPORARY, command, host
from core.cli.output import Json, print_json, print_rows, shown
from core.delivery.engine import Engine
from core.delivery.state import queue_stats
from core.errors import UnknownName, UserError
from core.runtime import get_model, runtime

_COLUMNS = ("id", "send_state", "email_to", "subject", "record", "retry_count", "next_retry_at", "error")


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(help="See and steer outgoing mail.", no_args_is_help=True)
    app.add_typer(group, name="queue")
    for function in (ls, show, eml, retry, hold, release, cancel, flush, stats):
        command(group, function.__name__)(function)


async def ls(
    state: Annotated[str | None, typer.Option(help="Only this state, e.g. Failed.")] = None,
    limit: Annotated[int, typer.Option(help="How many, the newest first.")] = 50,
    as_json: Json = False,
) -> None:
    """List outgoing messages.

    Example: postroom queue ls --state Failed
    """
    async with host():
        messages = get_model("Message").filter(direction="Outbound")
        if state is not None:
            messages = messages.filter(send_state=_known_state(state))
        rows = [_row(message) for message in await messages.order_by("-id").limit(limit)]
        print_rows(rows, _COLUMNS, as_json=as_json, empty="No outgoing mail here.")


async def show(
    message: int,
    raw: Annotated[bool, typer.Option("--raw", help="Print the exact bytes of the mail instead.")] = False,
    as_json: Json = False,
) -> None:
    """Show a message: each recipient, each try, and what the server said.

    Example: postroom queue show 12
    """
    async with host():
        found = await _message(message)
        if raw:
            typer.echo(await found.eml(), nl=False)
            return
        await found.fetch_related("deliveries__tries")
        row = {
            **_row(found),
            "message_id": found.message_id,
            "deliveries": [_delivery(one) for one in found.deliveries],
        }
    if as_json:
        print_json(row)
        return
    for name, value in row.items():
        if name != "deliveries":
            typer.echo(f"{name.replace('_', ' '):>15}  {shown(value)}")
    for one in row["deliveries"]:
        typer.echo(f"\n  {shown(one['recipient'])}: {one['state']}")
        for attempt in one["attempts"]:
            words = f"{attempt['phase']}: {attempt['reply']} ({attempt['duration_ms']} ms, {attempt['server']})"
            typer.echo(f"    {shown(attempt['at'])}  {attempt['outcome']} at {shown(words)}")


async def eml(
    message: int,
    to: Annotated[str | None, typer.Option(help="This recipient's own copy, where copies differ.")] = None,
    draft: Annotated[bool, typer.Option("--draft", help="An unsent draft for a desktop mail program.")] = False,
) -> None:
    """Print the exact bytes of a mail, or a draft of it, with its blind copies, to be finished and sent by hand.

    Example: postroom queue eml 12 --draft > invoice.eml
    """
    if to is not None and draft:
        raise UserError("A draft goes to all recipients; leave out --to or --draft.")
    async with host():
        found = await _message(message)
        typer.echo(await found.draft_eml(with_bcc=True) if draft else await found.eml(to), nl=False)


async def retry(message: int, as_json: Json = False) -> None:
    """Queue a message again: what failed, is in doubt or was stopped.

    Example: postroom queue retry 12
    """
    await _steer(message, "action_retry", as_json)


async def hold(message: int, as_json: Json = False) -> None:
    """Keep a waiting message until it is released.

    Example: postroom queue hold 12
    """
    await _steer(message, "hold", as_json)


async def release(message: int, as_json: Json = False) -> None:
    """Let a held message go.

    Example: postroom queue release 12
    """
    await _steer(message, "release", as_json)


async def cancel(message: int, as_json: Json = False) -> None:
    """Stop what was not sent yet.

    Example: postroom queue cancel 12
    """
    await _steer(message, "cancel", as_json)


async def flush(as_json: Json = False) -> int:
    """Send what is due now, and wait until it is done.

    Example: postroom queue flush
    """
    async with host():
        if runtime().settings.MAIL_MODE == "hold":
            raise UserError("MAIL_MODE is hold: nothing is sent; set it to live to send.")
        async with Engine() as engine:
            tried = await engine.drain()
        counts = await queue_stats()
    if as_json:
        print_json({"tried": tried, "states": counts})
    else:
        typer.echo(f"{tried} deliveries tried; {counts['Queued']} messages queued, {counts['Failed']} failed.")
    return EXIT_TEMPORARY if counts["Queued"] else 0


async def stats(as_json: Json = False) -> None:
    """Count outgoing messages by state.

    Example: postroom queue stats --json
    """
    async with host():
        counts = await queue_stats()
    rows = [{"state": state, "messages": count} for state, count in counts.items()]
    if as_json:
        print_json(counts)
    else:
        print_rows(rows, ("state", "messages"), as_json=False, empty="")


async def _steer(message_id: int, action: str, as_json: bool) -> None:
    async with host():
        message = await _message(message_id)
        await getattr(message, action)()
        row = _row(message)
    if as_json:
        print_json(row)
    else:
        typer.echo(f"Message {message_id} is {row['send_state']} now.")


async def _message(message_id: int) -> Any:
    message = await get_model("Message").get_or_none(id=message_id, direction="Outbound")
    if message is None:
        raise UnknownName(f"There is no outgoing message {message_id}; see `postroom queue ls`.")
    return message


def _known_state(state: str) -> str:
    choices = get_model("Message")._meta.fields_map["send_state"].choices
    by_fold: dict[str, str] = {choice.casefold(): choice for choice in choices}
    if state.casefold() not in by_fold:
        raise UserError(f"{state} is no state; use one of {', '.join(choices)}.")
    return by_fold[state.casefold()]


def _row(message: Any) -> dict[str, Any]:
    names = ("id", "send_state", "email_from", "email_to", "email_cc", "subject", "retry_count")
    times = ("created_at", "scheduled_at", "next_retry_at", "sent_at")
    record = f"{message.res_model}:{message.res_id}" if message.res_model else None
    return {
        **{name: getattr(message, name) for name in (*names, *times)},
        "record": record,
        "error": message.error,
    }


def _delivery(delivery: Any) -> dict[str, Any]:
    names = ("at", "outcome", "phase", "code", "enhanced", "reply", "server", "tls", "duration_ms", "worker")
    return {
        **{name: getattr(delivery, name) for name in ("id", "recipient", "kind", "state", "attempts", "due_at")},
        "attempts": [{name: getattr(attempt, name) for name in names} for attempt in delivery.tries],
    }
