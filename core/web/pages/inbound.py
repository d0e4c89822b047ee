"""The log of received mail: what became of each, why, and what a person can do about what waits."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response
from tortoise.expressions import Q
from tortoise.functions import Count

from core.access import Access, Right
from core.audit import audit
from core.errors import UnknownName, UserError
from core.mail.body import html_to_text
from core.mail.parse import parse
from core.runtime import get_model
from core.web.files import download
from core.web.guard import Allowed
from core.web.live_page import live_page
from core.web.parameters import LARGEST, NO_NUL, Before, RecordId
from core.web.records import PAGE
from core.web.view import render, timeline_lists
from core.web.words import decision, outcome_sentence

router = APIRouter(prefix="/inbound")

STATES = ("received", "processed", "ignored", "unmatched", "quarantined", "discarded")
_LED_NOWHERE = ("ignored", "unmatched", "quarantined", "discarded")
_TRIED_AGAIN = ("unmatched", "quarantined")
_AT_ONCE = 200
"""So many are tried again by one press; the next one goes on."""
_COLUMNS = (
    *("id", "state", "outcome", "subject", "sender", "received_at", "source", "size_bytes", "error", "tries"),
    *("res_model", "res_id", "message_id", "original_id"),
)
_TEXT_MAX_CHARS = 20_000


@router.get("")
async def inbound_list(request: Request, access: Allowed, state: str = "", before: Before = None) -> Response:
    """List received mails, newest first."""
    if state and state not in STATES:
        raise UnknownName(f"There is no state {state}.")
    live = await live_page(access, "inbound")
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
        live=live,
        state=state,
        counts={one: counts.get(one, 0) for one in STATES},
        lines=await _with_records(access, page),
        before=before,
        older=page[-1]["id"] if len(found) > PAGE else None,
        may_replay=state in _TRIED_AGAIN and bool(page) and access.may("InboundEmail", Right.WRITE),
        may_load=access.may("InboundEmail", Right.CREATE),
        may_ask=access.may("EmailRoute"),
    )


@router.post("/replay")
async def replay_all(access: Allowed, state: Annotated[str, Form(max_length=20)] = "") -> Response:
    """Ask the rules again about all that waits in a state, the oldest first."""
    rows = access.records("InboundEmail", Right.WRITE)
    if state not in _TRIED_AGAIN:
        raise UserError(f"Mail can be tried again that is {' or '.join(_TRIED_AGAIN)}.")
    waiting = await rows.filter(state=state).order_by("id").limit(_AT_ONCE).values(*_COLUMNS)
    for row, _ in await _with_records(access, waiting):
        with suppress(UserError):  # Somebody else has just dealt with this one.
            await (await get_model("InboundEmail").get(id=row["id"])).replay()
    return RedirectResponse(f"/inbound?state={state}", 303)


@router.get("/{inbound_id}")
async def inbound_page(request: Request, inbound_id: RecordId, access: Allowed) -> Response:
    """Show one received mail, and why it went where it went."""
    mail = await _find(access, inbound_id)
    await mail.fetch_related("settled_by")
    parsed = await asyncio.to_thread(parse, await mail.content())
    text = parsed.text if parsed.text is not None else await asyncio.to_thread(html_to_text, parsed.html or "")
    (line,) = await _with_records(access, [_line(mail)])
    return render(
        request,
        "inbound.html",
        mail=mail,
        record=line[1],
        parsed=parsed,
        text=text[:_TEXT_MAX_CHARS],
        sentence=outcome_sentence(mail),
        decided=decision(mail),
        copies=await _copies(access, mail),
        settled_by=mail.settled_by,
        may_write=access.may("InboundEmail", Right.WRITE),
        led_nowhere=mail.state in _LED_NOWHERE,
        proposals=await mail.proposals(parsed, access) if mail.state in _LED_NOWHERE else None,
        models=timeline_lists(access),
    )


@router.get("/{inbound_id}/message.eml")
async def inbound_file(inbound_id: RecordId, access: Allowed) -> Response:
    """Save the bytes as they came."""
    mail = await _find(access, inbound_id)
    await audit("mail_downloaded", mail)
    return download(await mail.content(), f"{mail.subject[:80] or 'message'}.eml", "message/rfc822")


@router.post("/{inbound_id}/replay")
async def replay(inbound_id: RecordId, access: Allowed, again: Annotated[bool, Form()] = False) -> Response:
    """Ask the rules again; with `again`, also about a mail that became something."""
    mail = await _find(access, inbound_id, Right.WRITE)
    row = await mail.replay(again=again)
    return RedirectResponse(f"/inbound/{row.pk}", 303)


@router.post("/{inbound_id}/assign")
async def assign(
    inbound_id: RecordId,
    access: Allowed,
    model: Annotated[str, Form(max_length=100, pattern=NO_NUL)] = "",
    record: Annotated[str, Form(max_length=18, pattern=r"^\d*$")] = "",
) -> Response:
    """Put a mail on a record's timeline."""
    mail = await _find(access, inbound_id, Right.WRITE)
    if not model or not record:
        raise UserError("Say which record the mail is about: what it is, and its number.")
    await mail.assign(model, int(record))
    return RedirectResponse(f"/inbound/{inbound_id}", 303)


@router.post("/{inbound_id}/create")
async def create(inbound_id: RecordId, access: Allowed, route: Annotated[int, Form(ge=0, le=LARGEST)] = 0) -> Response:
    """Let a route make a record of a mail."""
    mail = await _find(access, inbound_id, Right.WRITE)
    chosen = await get_model("EmailRoute").filter(access.condition("EmailRoute")).get_or_none(id=route)
    if chosen is None:
        raise UserError("Choose the alias that should have got the mail.")
    access.require(chosen.target_model, Right.CREATE)
    await mail.create_by(route)
    return RedirectResponse(f"/inbound/{inbound_id}", 303)


@router.post("/{inbound_id}/discard")
async def discard(
    inbound_id: RecordId, access: Allowed, reason: Annotated[str, Form(max_length=500, pattern=NO_NUL)] = ""
) -> Response:
    """Say that nobody need look at a mail; it is kept."""
    mail = await _find(access, inbound_id, Right.WRITE)
    await mail.discard(reason)
    return RedirectResponse(f"/inbound/{inbound_id}", 303)


async def _copies(access: Access, mail: Any) -> list[dict[str, Any]]:
    """Return the other rows of this mail: what it is a copy of, its copies, and what it was tried again as."""
    rows = access.records("InboundEmail").filter(Q(original_id=mail.pk) | Q(id=mail.original_id or 0))
    found = await rows.order_by("id").limit(PAGE).values(*_COLUMNS)
    return [row for row, _ in await _with_records(access, found)]


async def _find(access: Access, inbound_id: int, right: Right = Right.READ) -> Any:
    mail = await access.find("InboundEmail", inbound_id, right)
    if not await _with_records(access, [_line(mail)]):
        raise UnknownName(f"There is no InboundEmail {inbound_id}.")
    return mail


def _line(mail: Any) -> dict[str, Any]:
    return {name: getattr(mail, name) for name in ("res_model", "res_id", "message_id", "original_id")}


async def _with_records(access: Access, rows: list[dict[str, Any]]) -> list[tuple[dict[str, Any], Any]]:
    """Return rows with their records, without those of records or entries that the user may not read."""
    if not access.is_internal and not access.is_admin:
        rows = await _without_notes(access, rows)
    records = await access.readable((row["res_model"], row["res_id"]) for row in rows)
    paired = [(row, records.get((row["res_model"], row["res_id"]))) for row in rows]
    return [(row, record) for row, record in paired if record is not None or not row["res_model"] or access.is_admin]


async def _without_notes(access: Access, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows whose entry, or whose original's, is none that is for those inside."""
    ids = [row["original_id"] for row in rows if row["original_id"]]
    originals = dict(await get_model("InboundEmail").filter(id__in=ids).values_list("id", "message_id"))
    entry_ids = [row["message_id"] or originals.get(row["original_id"]) for row in rows]
    entries = await get_model("Message").filter(id__in=[one for one in entry_ids if one])
    hidden = {entry.id for entry in entries if not access.sees(entry)}
    return [row for row, entry_id in zip(rows, entry_ids, strict=True) if entry_id not in hidden]
