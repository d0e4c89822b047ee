"""`postroom webhook`: who is told of what happens here, and how that goes."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from core.cli.command import EXIT_FAILED, LARGEST_ID, command, host
from core.cli.output import Json, print_done, print_json, print_rows
from core.errors import UnknownName
from core.runtime import get_model
from core.webhooks.courier import Courier
from core.webhooks.events import EVENTS

_CALL_COLUMNS = ("id", "event", "event_id", "state", "attempts", "due_at", "last_status", "last_error", "created_at")

Name = Annotated[str, typer.Argument(help="A webhook's name or id.")]


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(help="See and try the webhooks that others are told by.", no_args_is_help=True)
    app.add_typer(group, name="webhook")
    command(group, "add")(add)
    command(group, "calls")(calls)
    command(group, "ls")(ls)
    command(group, "retry")(retry)
    command(group, "test")(test)


async def add(
    name: str,
    url: Annotated[str, typer.Argument(help="Where calls go, https://...")],
    event: Annotated[list[str], typer.Option(help=f"One of {', '.join(EVENTS)}; may be repeated.")],
    model: Annotated[list[str] | None, typer.Option(help="Only of records of this model; may be repeated.")] = None,
    as_json: Json = False,
) -> None:
    """Make a webhook and print its secret, this once: the receiver checks with it who calls.

    Example: postroom webhook add billing https://billing.example/hook --event message.sent --event message.bounced
    """
    async with host():
        made = await get_model("Webhook").create(name=name, url=url, events=event, models=model or [])
        if as_json:
            print_json({"id": made.pk, "name": made.name, "secret": made.secret})
        else:
            typer.echo(made.secret)


async def ls(as_json: Json = False) -> None:
    """List the webhooks, and which of them fail or are off, and why.

    Example: postroom webhook ls
    """
    async with host():
        rows = [
            {
                "id": one.pk,
                "name": one.name,
                "url": one.url,
                "events": one.events,
                "active": one.active,
                "failures": one.failure_count,
                "why": one.disabled_reason or one.last_error,
            }
            for one in await get_model("Webhook").all().order_by("name")
        ]
    columns = ("id", "name", "url", "events", "active", "failures", "why")
    print_rows(rows, columns, as_json=as_json, empty="No webhook; see `postroom webhook add --help`.")


async def calls(
    name: Name,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 20,
    as_json: Json = False,
) -> None:
    """List the latest calls of a webhook, the newest first.

    Example: postroom webhook calls billing --limit 50
    """
    async with host():
        webhook = await _find(name)
        found = await get_model("WebhookCall").filter(webhook_id=webhook.pk).order_by("-id").limit(limit)
        rows = [_row(one) for one in found]
    print_rows(rows, _CALL_COLUMNS, as_json=as_json, empty=f"{name} was not called yet.")


async def retry(
    name: Name,
    call: Annotated[
        int | None, typer.Option(max=LARGEST_ID, help="This call alone; otherwise all that have failed.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a webhook's failed calls anew; a worker does it.

    Example: postroom webhook retry billing
    """
    async with host():
        webhook = await _find(name)
        mine = get_model("WebhookCall").filter(webhook_id=webhook.pk)
        found = await (mine.filter(state="failed") if call is None else mine.filter(id=call))
        if call is not None and not found:
            raise UnknownName(f"{name} has no call {call}; see `postroom webhook calls {name}`.")
        for one in found:
            await one.retry()
    waiting = [one.pk for one in found]
    print_done(f"{len(found)} calls wait for a worker.", as_json=as_json, webhook=webhook.name, calls=waiting)


async def test(name: Name, as_json: Json = False) -> int:  # noqa: PT028 - a command, not a test
    """Call a webhook with a `webhook.test` event, now and from here.

    Example: postroom webhook test billing
    """
    async with host():
        call = await (await _find(name)).test()
        async with Courier() as courier:
            await courier.drain()
        await call.refresh_from_db()
    if as_json:
        print_json(_row(call))
    else:
        went = "It arrived" if call.state == "delivered" else f"It did not arrive: {call.last_error}"
        typer.echo(f"{went} ({call.duration_ms} ms, {call.event_id}).")
    return 0 if call.state == "delivered" else EXIT_FAILED


async def _find(name: str) -> Any:
    model = get_model("Webhook")
    found = await model.get_or_none(id=int(name)) if name.isdecimal() and len(name) < 19 else None
    found = found or await model.filter(name=name).order_by("id").first()
    if found is None:
        raise UnknownName(f"There is no webhook {name}; see `postroom webhook ls`.")
    return found


def _row(call: Any) -> dict[str, Any]:
    return {name: getattr(call, name) for name in _CALL_COLUMNS}
