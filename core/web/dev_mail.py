"""The caught mails, for the pages and the JSON of the dev mailbox. Where mail really goes out, there is none of it."""

from __future__ import annotations

import asyncio
from typing import Any

from core import clock
from core.access import Access, Right
from core.errors import UnknownName, UserError
from core.mail.body import html_to_text
from core.mail.parse import parse
from core.mail.tracking import pixel_of, tracker
from core.mail.values import IncomingEmail
from core.pattern import pattern
from core.runtime import get_model, settings
from core.web.tracking_hits import Hit, Hits
from core.web.view import has_dev_mailbox

MOST = 500
_TOLD_OF_TEXTS = ("delivered", "read", "failed")
_POLL_S = 0.1
_LINK = pattern(r"https?://[^\s<>\"')\]]+")
_COLUMNS = ("id", "sender", "recipients", "subject", "caught_at", "message_id", "channel")


def needs_dev_mailbox() -> None:
    """Raise UnknownName where mail is not caught, or in production: then these paths are not there."""
    if not has_dev_mailbox():
        raise UnknownName("There is no dev mailbox here; it needs MAIL_MODE catch outside of production.")


async def caught(access: Access, query: str = "", after: int = 0) -> list[dict[str, Any]]:
    """Return the newest caught mails that have all words of `query` in a recipient or the subject."""
    rows = await access.records("CaughtEmail").filter(id__gt=after).order_by("-id").limit(MOST).values(*_COLUMNS)
    words = query.casefold().split()
    return [row for row in rows if all(word in _haystack(row) for word in words)]


async def wait_for(access: Access, query: str, after: int, wait_s: float) -> list[dict[str, Any]]:
    """Return as `caught` does, but wait for the first one to come."""
    deadline = asyncio.get_running_loop().time() + wait_s
    # Another process may be the one that catches it, so there is no bell to wait for.
    while not (found := await caught(access, query, after)) and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(_POLL_S)
    return found


async def find(access: Access, caught_id: int) -> Any:
    """Return one caught mail."""
    return await access.find("CaughtEmail", caught_id)


async def play(access: Access, caught_id: int, action: str, recipient: str | None, text: str) -> Any:
    """Answer (`reply`), bounce (`bounce`) or let a machine answer (`auto-reply`); returns the InboundEmail.

    A text is answered too (returns the Message), and its provider tells `delivered`, `read` or `failed` (returns None).
    """
    access.require("InboundEmail", Right.WRITE)
    mail = await find(access, caught_id)
    if mail.channel != "email":
        return await _play_text(mail, action, recipient, text)
    match action:
        case "bounce":
            return await mail.bounce(recipient)
        case "auto-reply":
            return await mail.auto_reply(recipient)
        case "delivered" | "read" | "failed":
            raise UserError("Receipts are for texts; a mail is answered or bounced.")
    return await mail.reply(text, recipient)


async def open_as_reader(access: Access, caught_id: int, hits: Hits) -> Any:
    """Load a mail's pixel as its reader does by opening it; returns the mail. UserError where it has no pixel."""
    access.require("InboundEmail", Right.WRITE)
    mail = await find(access, caught_id)
    values = settings()
    token = pixel_of(parse(bytes(mail.raw_mail)).html or "")
    delivery_id = tracker(values.BASE_URL, values.secret_keys).opened(token) if token else None
    if delivery_id is None or not values.TRACKING:
        raise UserError("This mail has no pixel of ours, so nobody learns that it was opened.")
    hits.add(Hit(delivery_id, "", "", "", "Dev mailbox", None))
    await hits.flush()
    return mail


async def _play_text(mail: Any, action: str, recipient: str | None, text: str) -> Any:
    if action == "reply":
        return await mail.text_back(text, recipient)
    if action not in _TOLD_OF_TEXTS:
        raise UserError(f"A text can be answered, or told of as {', '.join(_TOLD_OF_TEXTS)}.")
    return await mail.receipt(action, recipient)


async def write(access: Access, sender: str, to: str, subject: str, text: str) -> Any:
    """Write to an address of ours as somebody outside; returns the InboundEmail."""
    access.require("InboundEmail", Right.WRITE)
    return await get_model("CaughtEmail").write_to_us(sender, to, subject, text)


async def clear(access: Access) -> None:
    """Forget every caught mail."""
    await access.records("CaughtEmail", Right.DELETE).delete()


async def aliases() -> list[tuple[str, str]]:
    """Return (address, what it creates) of the aliases that take mail."""
    routes = await get_model("EmailRoute").filter(active=True).exclude(address="*").order_by("address")
    domain = settings().MAIL_DOMAIN
    return [(f"{route.address}@{route.domain or domain}", route.target_model) for route in routes]


def text_of(mail: IncomingEmail) -> str:
    """Return what a person reads in a mail."""
    return mail.text if mail.text is not None else html_to_text(mail.html or "")


def as_json(row: dict[str, Any]) -> dict[str, Any]:
    """Return a caught mail's line for a program."""
    return {**row, "caught_at": row["caught_at"].isoformat()}


def whole_as_json(mail: Any) -> dict[str, Any]:
    """Return a caught mail with its contents, its links and its files' names for a program."""
    parsed = parse(bytes(mail.raw_mail))
    text = text_of(parsed)
    return {
        "id": mail.pk,
        "channel": mail.channel,
        "sender": mail.sender,
        "recipients": mail.recipients,
        "subject": parsed.subject,
        "caught_at": (mail.caught_at or clock.now()).isoformat(),
        "message_id": mail.message_id,
        "headers": [list(pair) for pair in parsed.headers],
        "text": text,
        "html": parsed.html,
        "links": list(dict.fromkeys(_LINK.findall(f"{text} {parsed.html or ''}"))),
        "attachments": [
            {"name": file.name, "content_type": file.content_type, "size_bytes": len(file.content)}
            for file in parsed.files
        ],
    }


def _haystack(row: dict[str, Any]) -> str:
    return " ".join([*row["recipients"], row["subject"]]).casefold()
