"""Mail that is brought to us: stored before it is acknowledged, and dealt with at once by whoever works.

What is fetched from mailboxes comes by `core.gateway.fetch`. The identity of a brought mail is its content with its
envelope, so that one which is brought again, since our answer was lost, is the same row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from hashlib import sha256

import structlog

from core.gateway import spool
from core.gateway.lookup import open_lookup
from core.gateway.receive import process_pending, read_in_time
from core.gateway.spool import OPEN, Spooled
from core.orm.outage import database_errors, is_outage
from core.runtime import runtime, settings

log = structlog.get_logger(__name__)

TOPIC = "inbound"
_AWAY_S = 2.0


def identity(way: str, raw: bytes, return_path: str = "", recipients: Iterable[str] = ()) -> str:
    """Return the delivery identity of a mail that came by a way, such as "lmtp" or "webhook"."""
    digest = sha256()
    for piece in (*(one.encode("utf-8", "replace") for one in (return_path, *recipients)), raw):
        digest.update(len(piece).to_bytes(8, "big"))
        digest.update(piece)
    return f"{way}:{digest.hexdigest()}"


def with_envelope(raw: bytes, return_path: str | None, recipients: Sequence[str]) -> bytes:
    """Return a mail with what its envelope said on top, as a server writes it at delivery (RFC 5321 section 4.4)."""
    lines = [] if return_path is None else [f"Return-Path: <{return_path}>"]
    lines += [f"Delivered-To: {one}" for one in recipients]
    return "".join(f"{_one_line(line)}\r\n" for line in lines).encode() + raw


async def take_in(raw: bytes, source: str) -> int | None:
    """Commit a mail to the spool and return its id, or None where that source was taken in before."""
    spool_id = await spool.store(raw, source)
    await runtime().bell.ring(TOPIC)
    return spool_id


async def take_in_reply(raw: bytes) -> bool:
    """Commit a mail that anybody may bring, if it is to a reply address that we gave out; whether it was."""
    mail = Spooled(id=0, source=identity(f"{OPEN}reply", raw), tries=0, raw=raw)
    lookup = await open_lookup()
    try:
        (email,) = await read_in_time([mail], lookup)
    except TimeoutError:
        return False
    await lookup.prepare([email])
    if lookup.by_token(lookup.reply_tokens(email)) is None:
        return False
    await take_in(raw, mail.source)
    return True


async def deal_with_what_comes(stop: asyncio.Event) -> None:
    """Deal with what waits in the spool, whenever something is brought and now and then, until `stop`."""
    while not stop.is_set():
        pause_s = settings().CRON_POLL_SECONDS
        try:
            await process_pending()
        except database_errors() as error:
            if is_outage(error):
                log.warning("inbound mail waits: the database is away", error=str(error))
            else:
                log.error("inbound mail waits: the spool cannot be read", exc_info=error)
            pause_s = _AWAY_S
        await runtime().bell.wait_until(stop, TOPIC, pause_s)


def _one_line(text: str) -> str:
    return "".join(char for char in text if char.isprintable())
