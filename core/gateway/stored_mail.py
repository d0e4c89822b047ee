"""Incoming rows of mail storage (`Mail`): a mail that was fetched for an account is a row there from its commit on.

The row is made in the transaction that puts the mail into the spool, so it is there once; what it says is read later.
What the spool makes of the mail is no concern of the row: see the rule `mail_account`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

import structlog

from core.gateway import receive, spool
from core.gateway.lookup import Lookup, open_lookup
from core.gateway.spool import Spooled
from core.gateway.target import header_form
from core.gateway.values import KeptFile, Received
from core.mail.file_list import ListedFile, file_list
from core.mail.sanitise import safe_html
from core.mail.values import Mailbox
from core.orm.insert import insert_many, new_record
from core.orm.transaction import transaction
from core.runtime import get_model, runtime

log = structlog.get_logger(__name__)

_AT_ONCE = 50


async def note_arrivals(account_id: int, spool_ids: Iterable[int]) -> None:
    """Within the transaction that stores mails in the spool, make a row of each for the account."""
    account = await get_model("MailAccount").get(id=account_id)
    model = get_model("Mail")
    values = {"account_id": account_id, "mail_account": account.account, "direction": "incoming", "state": "fetched"}
    await insert_many(runtime().database, [new_record(model, **values, inbound_id=one) for one in spool_ids])


async def deal_with_arrivals(account_id: int | None = None) -> int:
    """Deal with the fetched mails of an account, or of all, and let their rows say what they hold; return how many."""
    total = 0
    waiting = get_model("Mail").filter(state="fetched", direction="incoming").order_by("id")
    waiting = waiting if account_id is None else waiting.filter(account_id=account_id)
    after = 0
    while rows := await waiting.filter(id__gt=after).limit(_AT_ONCE):
        after = rows[-1].id
        await receive.process([row.inbound_id for row in rows if row.inbound_id is not None])
        lookup = await open_lookup()
        for row in rows:
            total += await _read_row(row, lookup)
    return total


async def _read_row(row: Any, lookup: Lookup) -> bool:
    """Fill one row; one that cannot be read says so, and stops no other."""
    inbound = await get_model("InboundEmail").get_or_none(id=row.inbound_id)
    if inbound is None:
        return await _settle(row, {"error": "Its raw mail is no longer there."}, ())
    try:
        raw = await spool.raw_of(inbound.id)
        (email,) = await receive.read_in_time([Spooled(inbound.id, inbound.source, 1, raw)], lookup)
        values = await _content(email)
    except Exception as error:  # One mail is an edge: what it leads to stays its own.
        log.warning("stored mail not read", mail_id=row.id, error=str(error))
        subject = inbound.subject or None
        return await _settle(row, {"mail_subject": subject, "error": f"It cannot be read: {error}"[:2000]}, ())
    return await _settle(row, {**values, "message_id": inbound.message_id}, email.files)


async def _content(email: Received) -> dict[str, Any]:
    parsed = email.parsed
    return {
        "mail_subject": parsed.subject,
        "mail_from": _line([parsed.sender] if parsed.sender else []),
        "mail_to": _line(parsed.to),
        "mail_cc": _line(parsed.cc),
        "mail_date": parsed.date_at,
        "mail_body_text": email.text,
        "mail_body_html": await asyncio.to_thread(safe_html, email.html, lambda _: None),
    }


async def _settle(row: Any, values: dict[str, Any], files: Sequence[KeptFile]) -> bool:
    """Write what a row holds, with its files, unless another process just did; whether it was ours to write."""
    rows = get_model("Mail").filter(id=row.id, state="fetched")
    async with transaction():
        if not await rows.update(state="received", **values):
            return False
        if files:
            kept = [await _keep(row, file) for file in files]
            listed = file_list(ListedFile(one.uuid, one.name, one.size_bytes) for one in kept)
            await get_model("Mail").filter(id=row.id).update(mail_attachments=listed)
    return True


async def _keep(row: Any, file: KeptFile) -> Any:
    """Store a file as the row's own: who may read the row may read it."""
    return await get_model("Attachment").keep(
        file.name, file.content, file.content_type, content_id=file.content_id, res_model="Mail", res_id=row.id
    )


def _line(mailboxes: Iterable[Mailbox]) -> str:
    return ", ".join(header_form(one.name, one.address) for one in mailboxes)
