"""`postroom template`: the e-mail templates, what they make of a record, what they said before, and their words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from core.cli.command import EXIT_FAILED, LARGEST_LIMIT, command, host, record_named
from core.cli.output import Json, print_done, print_json, print_rows, shown
from core.errors import TemplateError, UnknownName, did_you_mean
from core.mail.body import html_to_text
from core.runtime import get_model, runtime
from core.seed.words import write_words

_HEADS = ("from_email", "to_email", "cc_email", "reply_email", "subject", "file_name")


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(help="See, try, compare and translate e-mail templates.", no_args_is_help=True)
    app.add_typer(group, name="template")
    for function in (ls, preview, history, diff, restore, extract):
        command(group, function.__name__)(function)


async def ls(as_json: Json = False) -> None:
    """List the templates.

    Example: postroom template ls
    """
    async with host():
        templates = (
            await get_model("EmailTemplate")
            .all()
            .order_by("identifier")
            .prefetch_related("model", "report", "variants")
        )
        rows = [
            {
                "identifier": one.identifier,
                "name": one.name,
                "model": one.model.identifier,
                "report": one.report.identifier if one.report else None,
                "variants": sorted(variant.language for variant in one.variants),
                "active": one.active,
            }
            for one in templates
        ]
        columns = ("identifier", "name", "model", "report", "variants", "active")
        print_rows(rows, columns, as_json=as_json, empty="No templates; addons bring them as YAML.")


async def preview(
    identifier: str,
    record: Annotated[str, typer.Option(help="MODEL:ID, e.g. FinancialDocument:1.")],
    locale: Annotated[str | None, typer.Option(help="Instead of the recipient's, e.g. de.")] = None,
    html: Annotated[bool, typer.Option("--html", help="Print the body as HTML.")] = False,
    as_json: Json = False,
) -> int:
    """Render a template for a record, strictly: a name that the record lacks is an error with line and column.

    Example: postroom template preview financial_document_send_template --record FinancialDocument:1
    """
    async with host():
        template = await _template(identifier)
        found = await template.preview(await _record(record), locale=locale)
    if as_json:
        print_json(
            {
                **found.texts,
                "locale": found.locale,
                "language": found.language,
                "missing": found.missing,
                "faults": [_fault(one) for one in found.faults],
            }
        )
        return EXIT_FAILED if found.faults else 0
    for name in _HEADS:
        if text := found.texts.get(name):
            typer.echo(f"{name.removesuffix('_email').removesuffix('_name').title():>8}: {shown(text)}")
    typer.echo("\n" + (found.texts["content"] if html else html_to_text(found.texts["content"])))
    for one in found.faults:
        typer.echo(f"\nerror: {one}{_pointed_at(one)}", err=True)
    return EXIT_FAILED if found.faults else 0


async def history(identifier: str, as_json: Json = False) -> None:
    """List what a template and its variants said, newest first.

    Example: postroom template history lead_acknowledgement
    """
    async with host():
        versions = await (await _template(identifier)).history()
    rows = [
        {
            "number": one.number,
            "language": one.language,
            "created_at": one.created_at,
            "author": one.author.name if one.author else None,
            "note": one.note,
        }
        for one in versions
    ]
    columns = ("number", "language", "created_at", "author", "note")
    print_rows(rows, columns, as_json=as_json, empty="Nothing was changed since versions are kept.")


async def diff(
    identifier: str,
    old: Annotated[int, typer.Argument(max=LARGEST_LIMIT, help="A version, as `history` numbers them.")],
    new: Annotated[
        int | None, typer.Argument(max=LARGEST_LIMIT, help="Another one; without it, what is stored now.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print what changed between two versions of a template, as a unified diff.

    Example: postroom template diff lead_acknowledgement 1
    """
    async with host():
        changes = await (await _template(identifier)).diff(old, new)
    if as_json:
        print_json({"identifier": identifier, "old": old, "new": new, "diff": changes})
    else:
        typer.echo(changes or "They say the same.", nl=not changes)


async def restore(
    identifier: str,
    number: Annotated[int, typer.Argument(max=LARGEST_LIMIT, help="A version, as `history` numbers them.")],
    as_json: Json = False,
) -> None:
    """Make a template say again what it said in a version. Mail that is queued goes out as it was queued.

    Example: postroom template restore lead_acknowledgement 1
    """
    async with host():
        template = await _template(identifier)
        await template.restore(number)
        (last, *_) = await template.history()
    said = f"{identifier} says again what it said in version {number}; that is version {last.number} now."
    print_done(said, as_json=as_json, identifier=identifier, restored=number, number=last.number)


async def extract(
    addon: str,
    locale: Annotated[str, typer.Option(help="Begin a translation into this language, e.g. it.")] = "",
    folder: Annotated[Path | None, typer.Option(help="Instead of the addon's i18n/.")] = None,
    as_json: Json = False,
) -> None:
    """Write the words of an addon's templates to its i18n/ADDON.pot, and bring its .po files up to date.

    Example: postroom template extract invoicing --locale it
    """
    async with host(current=False):
        source = next((one for one in runtime().addons if one.name == addon), None)
        if source is None:
            known = [one.name for one in runtime().addons]
            raise UnknownName(f'There is no addon "{addon}".{did_you_mean(addon, known)}')
        written = write_words(source, runtime().registry, folder, locale)
    rows = [{"file": str(one.file), "messages": one.messages, "untranslated": one.missing} for one in written]
    print_rows(rows, ("file", "messages", "untranslated"), as_json=as_json, empty="")


def _fault(error: TemplateError) -> dict[str, Any]:
    return {
        "source": error.source,
        "line": error.line,
        "column": error.column,
        "excerpt": error.excerpt,
        "message": error.reason,
    }


def _pointed_at(error: TemplateError) -> str:
    """Return the line of a fault, with a mark under its column."""
    if not error.excerpt:
        return ""
    mark = f"\n  {' ' * (error.column - 1)}^" if error.column else ""
    return f"\n  {shown(error.excerpt.expandtabs(1))}{mark}"


async def _template(identifier: str) -> Any:
    template = await get_model("EmailTemplate").get_or_none(identifier=identifier)
    if template is None:
        known = await get_model("EmailTemplate").all().values_list("identifier", flat=True)
        raise UnknownName(f'There is no template "{identifier}".{did_you_mean(identifier, map(str, known))}')
    return template


async def _record(reference: str) -> Any:
    model, number = record_named(reference)
    record = await get_model(model).get_or_none(id=number)
    if record is None:
        raise UnknownName(f"There is no {model} {number}.")
    return record
