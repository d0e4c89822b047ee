"""The audit log on a page: who did what, to which record, from where. Read only, for administrators."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from core.web.audit_log import Wanted, entries, wanted
from core.web.guard import Allowed
from core.web.view import render

router = APIRouter(prefix="/audit")


@router.get("")
async def audit_page(request: Request, access: Allowed, asked: Annotated[Wanted, Depends(wanted)]) -> Response:
    """List what was done, newest first."""
    found, older = await entries(access, asked)
    sought = {name: value for name, value in asdict(asked).items() if value not in ("", None) and name != "before"}
    return render(
        request,
        "audit.html",
        entries=[(one, told(one.detail)) for one in found],
        asked=asked,
        before=asked.before,
        older=older,
        query=urlencode(sought),
    )


def told(detail: dict[str, Any]) -> list[str]:
    """Return a line for each thing that an entry says beside."""
    changes = detail.get("changes")
    lines = [f"{name}: {_change(one)}" for name, one in changes.items()] if isinstance(changes, dict) else []
    return lines + [f"{name}: {_shown(value)}" for name, value in detail.items() if name != "changes"]


def _change(values: Any) -> str:
    is_pair = isinstance(values, list) and len(values) == 2
    return f"{_shown(values[0])} → {_shown(values[1])}" if is_pair else _shown(values)


def _shown(value: Any) -> str:
    return ", ".join(map(_shown, value)) if isinstance(value, list) else "—" if value in (None, "") else str(value)
