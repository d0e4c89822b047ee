"""`postroom template`: the e-mail templates, and what they make of a record."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from core.cli.command import command, host
from core.cli.output import Json, print_json, print_rows
from core.errors import UnknownName, UserError, did_you_mean
from core.mail.body import html_to_text
from core.runtime import get_model


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(help="See and try e-mail templates.", no_args_is_help=True)
    app.add_typer(group, name="template")
    command(group, "ls")(ls)
    command(group, "preview")(preview)


async def ls(as_json: Json = False) -> None:
    """List the templates.

    Example: postroom template ls
    """
    async with host():
        templates = await get_model("EmailTemplate").all().order_by("identifier").prefetch_related("model", "report")
        rows = [
            {
                "identifier": one.identifier,
                "name": one.name,
                "model": one.model.identifier,
                "report": one.report.identifier if one.report else None,
                "active": one.active,
            }
            for one in templates
        ]
        columns = ("identifier", "name", "model", "report", "active")
        print_rows(rows, columns, as_json=as_json, empty="No templates; addons bring them as YAML.")


async def preview(
    identifier: str,
    record: Annotated[str, typer.Option(help="MODEL:ID, e.g. FinancialDocument:1.")],
    locale: Annotated[str | None, typer.Option(help="Instead of the recipient's, e.g. de.")] = None,
    html: Annotated[bool, typer.Option("--html", help="Print the body as HTML.")] = False,
    as_json: Json = False,
) -> None:
    """Render a template for a record, strictly: a name that the record lacks is an error with line and column.

    Example: postroom template preview financial_document_send_template --record FinancialDocument:1
    """
    async with host():
        template = await _template(identifier)
        rendered = await template.render_for(await _record(record), locale=locale, strict=True)
    if as_json:
        print_json(rendered)
        return
    for name in ("from_email", "to_email", "cc_email", "reply_email", "subject"):
        if rendered[name]:
            typer.echo(f"{name.removesuffix('_email').title():>8}: {rendered[name]}")
    typer.echo("\n" + (rendered["content"] if html else html_to_text(rendered["content"])))


async def _template(identifier: str) -> Any:
    template = await get_model("EmailTemplate").get_or_none(identifier=identifier)
    if template is None:
        known = await get_model("EmailTemplate").all().values_list("identifier", flat=True)
        raise UnknownName(f'There is no template "{identifier}".{did_you_mean(identifier, map(str, known))}')
    return template


async def _record(reference: str) -> Any:
    model, colon, number = reference.partition(":")
    if not colon or not number.isdigit():
        raise UserError(f"--record takes MODEL:ID, such as FinancialDocument:1, not {reference!r}.")
    record = await get_model(model).get_or_none(id=int(number))
    if record is None:
        raise UnknownName(f"There is no {model} {number}.")
    return record
