"""`postroom suppression`: addresses that are not written to, and why."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from core.cli.command import EXIT_FAILED, LARGEST_LIMIT, command, host
from core.cli.output import Json, print_done, print_json, print_rows
from core.delivery.suppression import checked_address, suppress, suppress_all, suppressed, unsuppress
from core.errors import UnknownName, UserError
from core.mail.suppression import COLUMNS, Reason, read_file, write_file
from core.runtime import get_model

_MOST_FILE_BYTES = 50_000_000
Address = Annotated[str, typer.Argument(help="The e-mail address.")]
OfList = Annotated[str, typer.Option("--list", help="Of this list only; `*` is every list, nothing is all mail.")]


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(help="See and change whom no mail goes to.", no_args_is_help=True)
    app.add_typer(group, name="suppression")
    for name, function in (
        ("ls", ls),
        ("add", add),
        ("rm", remove),
        ("check", check),
        ("import", load),
        ("export", export),
    ):
        command(group, name)(function)


async def ls(
    search: Annotated[str, typer.Argument(help="A part of the address.")] = "",
    reason: Annotated[Reason | None, typer.Option(help="Only for this reason.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=LARGEST_LIMIT, help="How many, the newest first.")] = 100,
    as_json: Json = False,
) -> None:
    """List suppressed addresses, with reason, list, source and end.

    Example: postroom suppression ls customer.example
    """
    async with host():
        rows = get_model("Suppression").filter(address__icontains=search.strip())
        if reason is not None:
            rows = rows.filter(reason=reason.value)
        found = [dict(row) for row in await rows.order_by("-id").limit(limit).values("id", *COLUMNS)]
        columns = ("address", "list", "reason", "source", "expires_at", "created_at", "note")
        print_rows(found, columns, as_json=as_json, empty="Nobody is suppressed here.")


async def add(
    address: Address,
    of_list: OfList = "",
    note: Annotated[str, typer.Option(help="Why, in words.")] = "",
    until: Annotated[datetime | None, typer.Option(help="The end, in UTC; for ever without.")] = None,
    as_json: Json = False,
) -> None:
    """Write to an address no more.

    Example: postroom suppression add gone@customer.example --note "asked by phone"
    """
    async with host():
        expires_at = until.replace(tzinfo=UTC) if until else None
        await suppress(address, reason=Reason.MANUAL, list=of_list, source="cli", note=note, expires_at=expires_at)
    said = f"{address} is written to no more."
    print_done(said, as_json=as_json, address=checked_address(address), list=of_list, expires_at=expires_at)


async def remove(
    address: Address,
    of_list: Annotated[
        str | None, typer.Option("--list", help="Of this list only; without, all of its entries.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write to an address again.

    Example: postroom suppression rm gone@customer.example
    """
    async with host():
        ended = await unsuppress(address, list=of_list)
        if not ended:
            raise UnknownName(f"{address} is not suppressed; see `postroom suppression check {address}`.")
    if as_json:
        print_json({"address": checked_address(address), "removed": ended})
    else:
        typer.echo(f"{ended} removed.")


async def check(address: Address, of_list: OfList = "", as_json: Json = False) -> int:
    """Say whether an address is written to, and why not; ends with 1 where it is not.

    Example: postroom suppression check gone@customer.example --json
    """
    async with host():
        checked = checked_address(address)
        reason = (await suppressed([(0, checked, of_list or None)])).get(0)
    if as_json:
        print_json({"address": checked, "list": of_list, "suppressed": bool(reason), "reason": reason})
    else:
        typer.echo(reason or f"{address} is written to.")
    return EXIT_FAILED if reason else 0


async def load(
    file: Annotated[Path, typer.Argument(help="CSV with a header (address, list, ...), or one address a line.")],
    as_json: Json = False,
) -> None:
    """Suppress all addresses of a file, or none of them where a line is wrong.

    Example: postroom suppression import unsubscribed.csv
    """
    if not file.is_file():
        raise UserError(f"{file} is no file.")
    if file.stat().st_size > _MOST_FILE_BYTES:
        raise UserError(f"{file} is larger than {_MOST_FILE_BYTES} bytes; cut it into several files.")
    entries = read_file(file.read_text(encoding="utf-8", errors="replace"))
    async with host():
        await suppress_all(entries)
    if as_json:
        print_json({"imported": len(entries)})
    else:
        typer.echo(f"{len(entries)} imported.")


async def export(
    file: Annotated[Path | None, typer.Argument(help="Where to write; standard output without.")] = None,
    as_json: Json = False,
) -> None:
    """Write all entries as CSV, or as JSON.

    Example: postroom suppression export suppressed.csv
    """
    async with host():
        rows = [dict(row) for row in await get_model("Suppression").all().order_by("id").values(*COLUMNS)]
    if as_json:
        print_json(rows)
    elif file is None:
        typer.echo(write_file(rows), nl=False)
    else:
        try:
            file.write_text(write_file(rows), encoding="utf-8", newline="")
        except OSError as error:
            raise UserError(f"{file} cannot be written: {error.strerror}.") from error
        typer.echo(f"{len(rows)} written to {file}.")
