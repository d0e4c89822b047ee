"""`postroom audit`: who did what."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from core.cli.command import LARGEST_ID, LARGEST_LIMIT, command, host
from core.cli.output import Json, print_rows
from core.runtime import get_model

_COLUMNS = ("at", "login", "action", "model", "record_id", "record_name", "address", "token", "command", "detail")


def add_to(app: typer.Typer) -> None:
    command(app, "audit")(audit)


async def audit(
    action: Annotated[str, typer.Argument(help="Only this: login_failed, updated, deleted, ...")] = "",
    login: Annotated[str, typer.Option(help="Only what this user did.")] = "",
    model: Annotated[str, typer.Option(help="Only to records of this model.")] = "",
    record: Annotated[int | None, typer.Option(max=LARGEST_ID, help="Only to the record with this id.")] = None,
    request: Annotated[str, typer.Option(help="Only in the request with this id.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=LARGEST_LIMIT, help="How many, the newest first.")] = 100,
    as_json: Json = False,
) -> None:
    """Say who did what, the newest first.

    Example: postroom audit login_failed
    """
    wanted: dict[str, Any] = {
        "action": action,
        "login": login.strip().casefold(),
        "model": model,
        "record_id": record,
        "request_id": request,
    }
    async with host():
        rows = get_model("AuditEntry").filter(**{name: one for name, one in wanted.items() if one not in ("", None)})
        found = await rows.order_by("-id").limit(limit).values("id", "request_id", *_COLUMNS)
        print_rows([dict(row) for row in found], _COLUMNS, as_json=as_json, empty="Nothing of the kind was done.")
