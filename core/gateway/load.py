"""Bringing in mails by hand: `.eml` files, folders of them, and mbox files (RFC 4155), through the spool like any."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

from core.errors import UserError
from core.gateway import spool
from core.gateway.explain import source_of
from core.gateway.receive import process
from core.gateway.values import Account, Outcome
from core.runtime import get_model, settings

_FROM_LINE = b"From "
_SEPARATOR = re.compile(rb"\AFrom [^\n]*\n|(?:(?<=\n\n)|(?<=\r\n\r\n))From [^\n]*\d\d:\d\d[^\n]*\n")
_QUOTED_FROM = re.compile(rb"(?m)^>(>*From )")


async def load(paths: Sequence[Path]) -> AsyncIterator[Account]:
    """Bring in every mail of files and folders, in order, and yield what became of each.

    A mail that was brought in before gives `duplicate` with what it led to then. Raises UserError for a path that
    cannot be read or a mail over MAX_MAIL_BYTES, before anything of that file is stored.
    """
    for file in [file for path in paths for file in _files(path)]:
        for raw in await asyncio.to_thread(_mails, file):
            yield await _bring_in(raw)


async def _bring_in(raw: bytes) -> Account:
    source = source_of(raw)
    spool_id = await spool.store(raw, source)
    accounts = await process([spool_id]) if spool_id is not None else []
    return accounts[0] if accounts else await _before(source)


async def _before(source: str) -> Account:
    row = await get_model("InboundEmail").get(source=source).values("res_model", "res_id", "message_id", "sender")
    record = f"{row['res_model']}:{row['res_id']}" if row["res_model"] else None
    return Account(
        source=source,
        outcome=Outcome.DUPLICATE,
        record=record,
        message=row["message_id"],
        author=row["sender"] or None,
    )


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file() and file.suffix in (".eml", ".mbox"))
    return [path]


def _mails(file: Path) -> list[bytes]:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}.") from error
    mails = list(_mbox(content)) if content.startswith(_FROM_LINE) else [content]
    largest = settings().MAX_MAIL_BYTES
    if any(len(raw) > largest for raw in mails):
        raise UserError(f"{file} holds a mail of more than {largest} bytes; raise MAX_MAIL_BYTES to bring it in.")
    return mails


def _mbox(content: bytes) -> Iterator[bytes]:
    """Cut an mbox at its `From ` lines, and take the `>` before quoted ones away.

    They follow an empty line and tell a time, by which they are known from a sentence that starts with the word.
    """
    for mail in _SEPARATOR.split(content)[1:]:
        yield _QUOTED_FROM.sub(rb"\1", mail.removesuffix(b"\n"))
