"""The log of received mail: what became of each, why, and another try for what waits."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from tortoise.functions import Count

from core.access import Access, Right
from core.errors import UnknownName
from core.mail.body import html_to_text
from core.mail.parse import parse
from core.web.files import download
from core.web.guard import Allowed
from core.web.parameters import Before, RecordId
from core.web.records import PAGE
from core.web.view import render
from core.web.words import OUTCOMES

router = APIRouter(prefix="/inbound")

STATES = ("received", "processed", "ignored", "unmatched", "quarantined")
_COLUMNS = (
    *("id", "state", "outcome", "subject", "sender", "received_at", "source", "size_bytes", "error", "tries"),
    *("res_model", "res_id", "message_id"),
)
_TEXT_MAX_CHARS = 20_000


@router.get("")
async def inbound_list(request: Request, access: Allowed, state: str = "", before: Before = None) -> Response:
    """List received mails, newest first."""
    if state and state not in STATES:
        raise UnknownName(f"There is no state {state}.")
    rows = access.records("InboundEmail")
    counts = dict(await rows.annotate(n=Count("id")).group_by("state").values_list("state", "n"))
    if state:
        rows = rows.filter(state=state)
    if before is not None:
        rows = rows.filter(id__lt=before)
    found = await rows.order_by("-id").limit(PAGE + 1).values(*_COLUMNS)
    page = found[:PAGE]
    return render(
        request,
        "inbound_list.html",
        state=state,
        counts={one: counts.get(one, 0) for one in STATES},
        lines=await _with_records(access, page),
        before=before,
        older=page[-1]["id"] if len(found) > PAGE else None,
    )


@router.get("/{inbound_id}")
async def inbound_page(request: Request, inbound_id: RecordId, access: Allowed) -> Response:
    """Show one received mail, and why it went where it went."""
    mail = await _find(access, inbound_id)
    parsed = await asyncio.to_thread(parse, await mail.content())
    text = parsed.text if parsed.text is not None else html_to_text(parsed.html or "")
    (line,) = await _with_records(access, [{"res_model": mail.res_model, "res_id": mail.res_id}])
    return render(
        request,
        "inbound.html",
        mail=mail,
        record=line[1],
        parsed=parsed,
        text=text[:_TEXT_MAX_CHARS],
        sentence=OUTCOMES.get(mail.outcome, mail.outcome),
        may_replay=mail.state in ("unmatched", "quarantined", "ignored") and access.may("InboundEmail", Right.WRITE),
    )


@router.get("/{inbound_id}/message.eml")
async def inbound_file(inbound_id: RecordId, access: Allowed) -> Response:
    """Save the bytes as they came."""
    mail = await _find(access, inbound_id)
    return download(await mail.content(), f"{mail.subject[:80] or 'message'}.eml", "message/rfc822")


@router.post("/{inbound_id}/replay")
async def replay(inbound_id: RecordId, access: Allowed) -> Response:
    """Ask the rules again."""
    mail = await _find(access, inbound_id, Right.WRITE)
    await mail.replay()
    return RedirectResponse(f"/inbound/{inbound_id}", 303)


async def _find(access: Access, inbound_id: int, right: Right = Right.READ) -> Any:
    mail = await access.find("InboundEmail", inbound_id, right)
    if not await _with_records(access, [{"res_model": mail.res_model, "res_id": mail.res_id}]):
        raise UnknownName(f"There is no InboundEmail {inbound_id}.")
    return mail


async def _with_records(access: Access, rows: list[dict[str, Any]]) -> list[tuple[dict[str, Any], Any]]:
    """Return rows with their records, without those of records that the user may not read."""
    records = await access.readable((row["res_model"], row["res_id"]) for row in rows)
    paired = [(row, records.get((row["res_model"], row["res_id"]))) for row in rows]
    return [(row, record) for row, record in paired if record is not None or not row["res_model"] or access.is_admin]
