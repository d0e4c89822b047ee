"""`postroom access`: who may do what, and why not."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from core.access import Right
from core.access.explain import explain as explain_access
from core.cli.command import EXIT_FAILED, LARGEST_ID, command, host
from core.cli.output import Json, print_json, print_rows


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(help="Say who may do what with which records, and why.", no_args_is_help=True)
    app.add_typer(group, name="access")
    command(group, "explain")(explain)


async def explain(
    login: Annotated[str, typer.Argument(help="Whose rights.")],
    model: Annotated[str, typer.Argument(help="On the records of this model, such as CrmLead.")],
    record_id: Annotated[int | None, typer.Argument(metavar="[ID]", max=LARGEST_ID, help="On this one record.")] = None,
    right: Annotated[Right, typer.Option(help="Which right.")] = Right.READ,
    as_json: Json = False,
) -> None:
    """Say which group, company, rule or gate lets a user do something, or keeps it from it; exits with 1 where it may
    not.

    Example: postroom access explain anna@example.org CrmLead 7 --right write
    """
    async with host():
        told = await explain_access(login, model, record_id, right)
    if as_json:
        print_json({**asdict(told), "allows": told.allows, "verdict": told.verdict})
    else:
        rows = [{**asdict(step), "allows": "yes" if step.allows else "NO"} for step in (*told.steps, *told.fields)]
        print_rows(rows, ("allows", "asked", "reason"), as_json=False, empty="")
        typer.echo(told.verdict)
    if not told.allows:
        raise typer.Exit(EXIT_FAILED)
