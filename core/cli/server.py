"""`postroom server test`: can this server be reached, and would it take our mail?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from core.cli.command import EXIT_TEMPORARY, command, host
from core.cli.output import Json, print_json, shown
from core.errors import UnknownName, did_you_mean
from core.runtime import get_model


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(help="Test mail servers.", no_args_is_help=True)
    app.add_typer(group, name="server")
    command(group, "test")(test)


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
    known: list[str] = []
    for model in (outgoing, get_model("IncomingMailServer")):
        for record in await model.all():
            if name in (record.name, record.identifier):
                return await record.test_connection()  # type: ignore[no-any-return]
            known.append(record.name)
    raise UnknownName(f'There is no mail server "{name}".{did_you_mean(name, [*known, "config"])}')
