"""From a message's row to the bytes of its mail: the same bytes on every try.

What could change between two tries was fixed when the message was queued: its Message-ID and Date, its signature and
branding, its attachments' contents.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from core.errors import UserError
from core.mail.address import envelope_address, parse_address
from core.mail.branding import branded
from core.mail.compose import compose
from core.mail.thread import ids_in
from core.mail.values import File, Mailbox, OutgoingEmail
from core.runtime import get_model, runtime, settings

_LARGE_BYTES = 1_000_000
"""From this size on, a mail is composed beside the event loop."""

COLUMNS = (
    "id",
    "author_id",
    "company_id",
    "res_model",
    "res_id",
    "email_from",
    "email_to",
    "email_cc",
    "reply_to",
    "subject",
    "body",
    "text",
    "headers",
    "message_id",
    "in_reply_to",
    "thread_references",
    "date_at",
    "presentation",
    "tracking_identifier",
)

_JSON_COLUMNS = ("email_to", "email_cc", "headers", "presentation")


async def load_messages(ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Return the rows that composition needs, by id, each with its attachments' ids: two queries."""
    database = runtime().database
    dialect = database.dialect
    params = [dialect.ids(ids)]
    rows = await database.fetch(
        f"SELECT {', '.join(COLUMNS)} FROM message WHERE {dialect.among('id', dialect.param(1))}", params
    )
    messages = {row["id"]: _message(row) for row in rows}
    links = await database.fetch(
        f"""SELECT message_id, attachment_id FROM message_attachment
            WHERE {dialect.among("message_id", dialect.param(1))} ORDER BY attachment_id""",
        params,
    )
    for link in links:
        messages[link["message_id"]]["attachment_ids"].append(link["attachment_id"])
    return messages


def _message(row: dict[str, Any]) -> dict[str, Any]:
    read_time = runtime().database.dialect.read_time
    values = {name: json.loads(row[name]) for name in _JSON_COLUMNS}
    return {**row, **values, "date_at": read_time(row["date_at"]), "attachment_ids": []}


async def outgoing_email(message: Mapping[str, Any]) -> OutgoingEmail:
    """Return the mail as a value, its attachments loaded, as the addons' filters left it."""
    files = await _files(message)
    body = branded(message["body"], message["presentation"]) if message["body"] else None
    email = OutgoingEmail(
        sender=_mailbox(message["email_from"]),
        to=tuple(map(_mailbox, message["email_to"])),
        cc=tuple(map(_mailbox, message["email_cc"])),
        reply_to=_mailbox(message["reply_to"]) if message["reply_to"] else None,
        subject=message["subject"],
        html=body,
        text=message["text"],
        message_id=message["message_id"],
        date=message["date_at"],
        in_reply_to=message["in_reply_to"],
        references=ids_in(message["thread_references"]),
        headers=tuple(message["headers"].items()),
        attachments=tuple(file for file in files if file.content_id is None),
        inline_files=tuple(file for file in files if file.content_id is not None),
    )
    hooks = runtime().hooks
    if hooks.users_of("filter_outgoing_email"):
        changed: OutgoingEmail = await hooks.filter("filter_outgoing_email", email, message=message)
        return replace(changed, message_id=email.message_id, date=email.date)
    return email


async def mail_bytes(message: Mapping[str, Any]) -> bytes:
    """Return the exact bytes that a server is given."""
    email = await outgoing_email(message)
    size = sum(len(file.content) for file in (*email.attachments, *email.inline_files))
    return await asyncio.to_thread(compose, email) if size > _LARGE_BYTES else compose(email)


def envelope_sender(message: Mapping[str, Any]) -> str:
    """Return the address that bounces go to: ours with the message's token, where MAIL_DOMAIN is set up, else From."""
    values = settings()
    token = message["tracking_identifier"]
    if token and values.MAIL_DOMAIN != "localhost":
        return envelope_address(f"{values.BOUNCE_ALIAS}+{token}@{values.MAIL_DOMAIN}")
    return envelope_address(_mailbox(message["email_from"]).address)


async def _files(message: Mapping[str, Any]) -> list[File]:
    """Return the files that the message was queued with, all of them or an error: a mail never goes without one."""
    ids, queued = message["attachment_ids"], message["presentation"].get("files", [])
    records = await get_model("Attachment").filter(id__in=ids).order_by("id") if ids else []
    if queued != sorted(record.sha256 for record in records):
        raise UserError(
            f"The mail was queued with {len(queued)} attachments, and not all of them are there as they were; "
            "attach them again and send it as a new mail."
        )
    return [File(one.name, one.content_type, bytes(one.content), one.content_id) for one in records]


@lru_cache(maxsize=4096)
def _mailbox(text: str) -> Mailbox:
    """Read an address that was checked when the message was queued; campaigns repeat theirs."""
    return parse_address(text)
