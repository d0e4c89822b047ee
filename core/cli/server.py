"""`postroom server test`: can this server be reached, and would it take our mail?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from core import clock
from core.cli.command import EXIT_TEMPORARY, command, host
from core.cli.output import Json, print_json, print_rows, shown
from core.errors import UnknownName, did_you_mean
from core.runtime import get_model, settings


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(help="See and test mail servers.", no_args_is_help=True)
    app.add_typer(group, name="server")
    command(group, "ls")(ls)
    command(group, "resume")(resume)
    command(group, "test")(test)


async def ls(as_json: Json = False) -> None:
    """List the mail servers, both ways, and which of them are paused or failing, and why.

    Example: postroom server ls
    """
    async with host():
        rows = [*await _outgoing_rows(), *await _incoming_rows()]
    columns = ("name", "direction", "address", "active", "paused_until", "reason")
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
    as_json: Json = False,  # noqa: PT028 - a command, not a test
) -> int:
    """Connect to a mail server step by step, each step timed.

    Example: postroom server test config
    """
    async with host():
        steps = await _steps(name)
    if as_json:
        print_json([{"name": one.name, "ok": one.ok, "detail": one.detail, "ms": one.duration_ms} for one in steps])
    else:
        for one in steps:
            typer.echo(
                f"{'ok    ' if one.ok else 'FAILED'} {one.name:10} {one.duration_ms:7.1f} ms  {shown(one.detail)}"
            )
    return 0 if all(one.ok for one in steps) else EXIT_TEMPORARY


async def _steps(name: str) -> Sequence[Any]:
    outgoing = get_model("OutgoingMailServer")
    if name == "config":
        return await outgoing.test_configured()  # type: ignore[no-any-return]
    known = ["config"]
    for model in (outgoing, get_model("IncomingMailServer")):
        for record in await model.all():
            if name in (record.name, record.identifier):
                return await record.test_connection()  # type: ignore[no-any-return]
            known.append(record.name)
    raise UnknownName(f'There is no mail server "{name}".{did_you_mean(name, known)} There are: {", ".join(known)}.')


async def _outgoing_rows() -> list[dict[str, Any]]:
    """The outgoing servers with their pauses; `key` is what a pause calls the server."""
    servers = await get_model("OutgoingMailServer").all().order_by("name")
    known = [(str(one.pk), one.name, f"{one.server}:{one.port}", one.active) for one in servers]
    if settings().SMTP_SERVER:
        known.insert(0, ("config", "config", f"{settings().SMTP_SERVER}:{settings().SMTP_PORT}", True))
    pauses = {one.server: one for one in await get_model("ServerPause").filter(until_at__gt=clock.now())}
    return [
        {
            "key": key,
            "name": name,
            "direction": "out",
            "address": address,
            "active": active,
            "paused_until": pauses[key].until_at if key in pauses else None,
            "reason": pauses[key].reason if key in pauses else "",
        }
        for key, name, address, active in known
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
        }
        for one in await get_model("IncomingMailServer").all().order_by("name")
    ]
