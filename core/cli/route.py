"""`postroom route`: where mail goes, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from core.cli.command import EXIT_FAILED, command, host, read_input
from core.cli.inbound import print_account
from core.cli.output import Json, print_json, print_rows
from core.errors import UserError
from core.gateway.cases import check_cases
from core.gateway.explain import explain as explain_mail
from core.mail.sketch import Sketch
from core.runtime import get_model, settings


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(help="See and explain the routes of inbound mail.", no_args_is_help=True)
    app.add_typer(group, name="route")
    for function in (ls, explain, check):
        command(group, function.__name__)(function)


async def ls(as_json: Json = False) -> None:
    """List the aliases and what their mail becomes.

    Example: postroom route ls
    """
    async with host():
        rows = [
            {
                "address": f"{route.address}@{route.domain or settings().MAIL_DOMAIN}",
                "target_model": route.target_model,
                "sender_policy": route.sender_policy,
                "defaults": route.defaults,
                "active": route.active,
            }
            for route in await get_model("EmailRoute").all().order_by("address")
        ]
        columns = ("address", "target_model", "sender_policy", "active")
        print_rows(rows, columns, as_json=as_json, empty="No routes; addons bring them, or make an EmailRoute.")


async def explain(
    file: Annotated[Path | None, typer.Argument(help="A raw mail, - for standard input; or tell of one:")] = None,
    sender: Annotated[str, typer.Option("--from", help="Who writes it.")] = "",
    to: Annotated[str, typer.Option("--to", help="To whom; an alias without @ is one of MAIL_DOMAIN.")] = "",
    cc: Annotated[str, typer.Option("--cc", help="With copies to whom.")] = "",
    subject: Annotated[str, typer.Option(help="About what.")] = "",
    header: Annotated[list[str] | None, typer.Option(help='A further header, "In-Reply-To: <id@host>".')] = None,
    verified: Annotated[bool, typer.Option("--verified", help="As if the sender were proven.")] = False,
    save: Annotated[str, typer.Option(help="Keep it as a case of this name, to be checked from now on.")] = "",
    as_json: Json = False,
) -> None:
    """Say where a mail would go and which rule decides it; nothing is written, but with --save the case.

    Example: postroom route explain --from ada@customer.example --to leads
    """
    if (file is None) == (not to.strip()):
        raise typer.BadParameter("Give a file with a raw mail, or tell of one by --from, --to and --subject.")
    async with host():
        sketch = Sketch(sender=sender, to=to, cc=cc, subject=subject, headers=_headers(header or []))
        raw = _read(file) if file is not None else sketch.raw(settings().MAIL_DOMAIN)
        account = await explain_mail(raw, verified=verified or None)
        if save.strip():
            await get_model("RouteCase").keep(save.strip(), raw if file is not None else sketch, verified=verified)
        print_account(account, as_json=as_json)


async def check(as_json: Json = False) -> int:
    """Ask about every saved case; exit with 1 where a mail goes elsewhere than it should.

    Example: postroom route check
    """
    async with host():
        results = [result async for result in check_cases()]
    rows = [
        {
            "id": one.id,
            "name": one.name,
            "passed": one.passed,
            "expected": one.expected.words,
            "found": one.error or one.found.words,
        }
        for one in results
    ]
    if as_json:
        print_json([result.as_dict() for result in results])
    else:
        columns = ("passed", "name", "expected", "found")
        print_rows(rows, columns, as_json=False, empty="No cases; save one by `postroom route explain --save NAME`.")
    return 0 if all(result.passed for result in results) else EXIT_FAILED


def _read(file: Path) -> bytes:
    if str(file) == "-":
        return read_input(settings().MAX_MAIL_BYTES)
    try:
        return file.read_bytes()
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from error


def _headers(lines: list[str]) -> dict[str, str]:
    named = [line.partition(":") for line in lines]
    if wrong := next((name for name, colon, _ in named if not colon), None):
        raise typer.BadParameter(f'"{wrong}" is no header; write a name, a colon and a value.')
    return {name.strip(): value.strip() for name, _, value in named}
