"""`postroom queue`: the outgoing mail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from core import clock
from core.cli.command import EXIT_TEMPORARY, LARGEST_ID, LARGEST_LIMIT, command, host
from core.cli.output import Json, print_json, print_rows, shown
from core.delivery.engine import Engine
from core.delivery.state import queue_stats
from core.delivery.suspension import resume_queue, suspend_queue, suspension, what_stops
from core.errors import UnknownName, UserError
from core.mail.retry import Outcome
from core.runtime import get_model, runtime
from core.web.queue_steer import steer
from core.web.words import delivery_state, mark, state_sentence

MessageId = Annotated[int, typer.Argument(max=LARGEST_ID, help="The id that `queue ls` shows.")]
MessageIds = Annotated[
    list[int], typer.Argument(metavar="MESSAGE...", max=LARGEST_ID, help="The ids that `queue ls` shows.")
]

_COLUMNS = ("id", "send_state", "email_to", "subject", "record", "retry_count", "next_retry_at", "error")


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(help="See and steer outgoing mail.", no_args_is_help=True)
    app.add_typer(group, name="queue")
    for function in (ls, show, eml, retry, hold, release, cancel, flush, stats, suspend, resume, pace):
        command(group, function.__name__)(function)


async def ls(
    state: Annotated[str | None, typer.Option(help="Only this state, e.g. Failed.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=LARGEST_LIMIT, help="How many, the newest first.")] = 50,
    as_json: Json = False,
) -> None:
    """List outgoing messages.

    Example: postroom queue ls --state Failed
    """
    async with host():
        messages = get_model("Message").filter(direction="Outbound")
        if state is not None:
            messages = messages.filter(send_state=known_state("Message", "send_state", state))
        rows = [_row(message) for message in await messages.order_by("-id").limit(limit)]
        await _say_if_suspended()
        print_rows(rows, _COLUMNS, as_json=as_json, empty="No outgoing mail here.")


async def show(
    message: MessageId,
    raw: Annotated[bool, typer.Option("--raw", help="Print the exact bytes of the mail instead.")] = False,
    as_json: Json = False,
) -> None:
    """Show a message: how it stands, what to do, each recipient, each try, and what was said of it.

    Example: postroom queue show 12
    """
    async with host():
        found = await _message(message)
        if raw:
            typer.echo(await found.eml(), nl=False)
            return
        await found.fetch_related("deliveries__tries", "deliveries__events")
        row = {
            "id": found.pk,
            "standing": state_sentence(found, found.deliveries, shown, await what_stops()),
            "next_step": _next_step(found),
            **_row(found),
            "message_id": found.message_id,
            "deliveries": [_delivery(one) for one in found.deliveries],
        }
        states = [mark(delivery_state(one)).word for one in found.deliveries]
    if as_json:
        print_json(row)
        return
    for name, value in row.items():
        if name != "deliveries" and shown(value):
            typer.echo(f"{name.replace('_', ' '):>15}  {shown(value)}")
    for one, state in zip(row["deliveries"], states, strict=True):
        due = f", next try {shown(one['due_at'])}" if one["state"] == "queued" else ""
        typer.echo(f"\n  {shown(one['recipient'])}: {state}{due}")
        for attempt in one["attempts"]:
            typer.echo(f"    {shown(attempt['at'])}  {shown(_attempt_words(attempt))}")
        for event in one["events"]:
            unproven = "" if event["proven"] else " (nothing proves this report)"
            typer.echo(f"    {shown(event['created_at'])}  {shown(event['kind'])}: {shown(event['reason'])}{unproven}")


async def eml(
    message: MessageId,
    to: Annotated[str | None, typer.Option(help="This recipient's own copy, where copies differ.")] = None,
    draft: Annotated[bool, typer.Option("--draft", help="An unsent draft for a desktop mail program.")] = False,
) -> None:
    """Print the exact bytes of a mail, or a draft of it, with its blind copies, to be finished and sent by hand.

    Example: postroom queue eml 12 --draft > invoice.eml
    """
    if to is not None and draft:
        raise typer.BadParameter("A draft goes to all recipients; leave out --to or --draft.")
    async with host():
        found = await _message(message)
        if to is None and len(copies := await found.deliveries.all().limit(2)) == 1:
            to = copies[0].recipient
        typer.echo(await found.draft_eml(with_bcc=True) if draft else await found.eml(to), nl=False)


async def retry(messages: MessageIds, as_json: Json = False) -> None:
    """Queue messages again: what failed, is in doubt or was stopped.

    Example: postroom queue retry 12 13
    """
    await _steer(messages, "retry", as_json)


async def hold(messages: MessageIds, as_json: Json = False) -> None:
    """Keep waiting messages until they are released.

    Example: postroom queue hold 12 13
    """
    await _steer(messages, "hold", as_json)


async def release(messages: MessageIds, as_json: Json = False) -> None:
    """Let held messages go.

    Example: postroom queue release 12 13
    """
    await _steer(messages, "release", as_json)


async def cancel(messages: MessageIds, as_json: Json = False) -> None:
    """Stop what was not sent yet.

    Example: postroom queue cancel 12 13
    """
    await _steer(messages, "cancel", as_json)


async def flush(as_json: Json = False) -> int:
    """Send what is due now, and wait until it is done.

    Example: postroom queue flush
    """
    async with host():
        if runtime().settings.MAIL_MODE == "hold":
            raise UserError("MAIL_MODE is hold: nothing is sent; set it to live to send.")
        if await suspension():
            raise UserError("The queue is suspended: nothing is sent; `postroom queue resume` lets it go.")
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


async def suspend(
    reason: Annotated[str, typer.Option(help="Shown to whoever wonders why no mail leaves.")] = "",
    as_json: Json = False,
) -> None:
    """Send nothing any more, by whatever path, until `postroom queue resume`; queueing goes on.

    Example: postroom queue suspend --reason "The relay moves"
    """
    async with host():
        await suspend_queue(reason)
        waiting = (await queue_stats())["Queued"]
    if as_json:
        print_json({"suspended": True, "reason": reason, "queued": waiting})
    else:
        typer.echo(f"The queue is suspended; {waiting} messages wait. Go on with `postroom queue resume`.")


async def resume(as_json: Json = False) -> None:
    """Send again after `postroom queue suspend`.

    Example: postroom queue resume
    """
    async with host():
        ended = await resume_queue()
    if as_json:
        print_json({"suspended": False, "was_suspended": ended})
    else:
        typer.echo("The queue runs again." if ended else "The queue was not suspended.")


async def pace(
    domain: Annotated[str | None, typer.Argument(help="A recipient domain, or * for each other one.")] = None,
    per_second: Annotated[int | None, typer.Option(min=1)] = None,
    per_minute: Annotated[int | None, typer.Option(min=1)] = None,
    per_day: Annotated[int | None, typer.Option(min=1)] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Let mail to the domain go as fast as it can.")] = False,
    as_json: Json = False,
) -> None:
    """Set how fast mail may go to a domain, over all servers and workers; without one, list what is set.

    Example: postroom queue pace gmail.com --per-minute 120
    """
    rates = {"rate_per_second": per_second, "rate_per_minute": per_minute, "rate_per_day": per_day}
    if domain is None and (remove or any(rates.values())):
        raise typer.BadParameter("Name the domain that the pace is for, such as gmail.com, or * for each other one.")
    if domain is not None and not remove and not any(rates.values()):
        raise typer.BadParameter("Give --per-second, --per-minute or --per-day; or --remove for no limit.")
    async with host():
        model = get_model("DomainPace")
        if domain is not None:
            found = await model.get_or_none(domain=domain.casefold())
            if not remove:
                await (found or model(domain=domain)).update_from_dict({**rates, "active": True}).save()
            elif found is None:
                raise UnknownName(f"No pace is set for {domain}; see `postroom queue pace`.")
            else:
                await found.delete()
        rows = [
            {"domain": one.domain, **{name: getattr(one, name) for name in rates}, "active": one.active}
            for one in await model.all().order_by("domain")
        ]
    print_rows(rows, ("domain", *rates, "active"), as_json=as_json, empty="No domain has a pace; mail goes at once.")


async def _steer(message_ids: Sequence[int], action: str, as_json: bool) -> None:
    """Do it to each message for itself, on record; those where it cannot be done are named at the end."""
    rows: list[dict[str, Any]] = []
    refused: list[UserError | UnknownName] = []
    async with host():
        for message_id in dict.fromkeys(message_ids):
            try:
                message = await _message(message_id)
                await steer(message, action)
            except (UserError, UnknownName) as error:
                refused.append(error)
            else:
                rows.append(_row(message))
                if not as_json:
                    typer.echo(f"Message {message_id} is {message.send_state} now.")
    if as_json and rows:
        print_json(rows)
    if refused:
        raise refused[0] if len(refused) == 1 else UserError("\n".join(map(str, refused)))


async def _say_if_suspended() -> None:
    stopped = await suspension()
    if stopped is not None:
        reason = f": {stopped.reason}" if stopped.reason else ""
        typer.echo(f"The queue is suspended since {shown(stopped.since_at)}{shown(reason)}.", err=True)


async def _message(message_id: int) -> Any:
    message = await get_model("Message").get_or_none(id=message_id, direction="Outbound")
    if message is None:
        raise UnknownName(f"There is no outgoing message {message_id}; see `postroom queue ls`.")
    return message


def known_state(model: str, field: str, state: str) -> str:
    """Return a state of a model as it is spelt there; raise UnknownName, which names all of them."""
    choices = get_model(model)._meta.fields_map[field].choices
    by_fold: dict[str, str] = {choice.casefold(): choice for choice in choices}
    if state.casefold() not in by_fold:
        raise UnknownName(f"{state} is no state; use one of {', '.join(choices)}.")
    return by_fold[state.casefold()]


def _row(message: Any) -> dict[str, Any]:
    names = ("id", "channel", "send_state", "email_from", "email_to", "email_cc", "subject", "retry_count")
    times = ("created_at", "scheduled_at", "next_retry_at", "sent_at")
    record = f"{message.res_model}:{message.res_id}" if message.res_model else None
    return {
        **{name: getattr(message, name) for name in (*names, *times)},
        "record": record,
        "error": message.error,
    }


def _delivery(delivery: Any) -> dict[str, Any]:
    fields = ("id", "recipient", "kind", "state", "attempts", "due_at", "bounced_at", "complained_at")
    reading = ("opened_at", "open_count", "clicked_at", "click_count")
    tried = ("at", "outcome", "phase", "code", "enhanced", "reply", "server", "tls", "duration_ms", "worker")
    told = ("created_at", "kind", "status", "reason", "proven")
    return {
        **{name: getattr(delivery, name) for name in (*fields, *reading)},
        "attempts": [{name: getattr(attempt, name) for name in tried} for attempt in delivery.tries],
        "events": [{name: getattr(event, name) for name in told} for event in delivery.events],
    }


def _attempt_words(attempt: dict[str, Any]) -> str:
    """Return a try as a line; what was dropped was never on a server's wire."""
    if attempt["outcome"] == Outcome.DROPPED:
        return f"not sent: {attempt['reply']}"
    where = f"{attempt['duration_ms']} ms, {attempt['server']}"
    return f"{attempt['outcome']} at {attempt['phase']}: {attempt['reply']} ({where})"


def _next_step(message: Any) -> str:
    """Return the command that helps a message on, or tells why it waits; empty where there is nothing to do."""
    if message.bounced_at:
        return "Find the right address; `postroom suppression ls` shows who is not written to any more."
    match message.send_state:
        case "Cancelled":
            return f"`postroom queue retry {message.pk}` queues it again."
        case "Held":
            return f"`postroom queue release {message.pk}` lets it go."
        case "Unknown":
            return (
                "Ask the recipient, or look for the Message-ID in the server's log; then "
                f"`postroom queue retry {message.pk}` or `postroom queue cancel {message.pk}`."
            )
        case "Failed" if not message.next_retry_at:
            return f"Mend the cause, then `postroom queue retry {message.pk}`."
        case "Queued" if message.error:
            return "`postroom server ls` shows the servers, `postroom queue pace` the paces of domains."
        case "Queued" if any(one.state == "queued" and one.due_at < clock.now() for one in message.deliveries):
            return "It is due; `postroom doctor` says whether a worker runs and what holds mail back."
    return ""
