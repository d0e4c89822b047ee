"""Bringing in mails by hand: `.eml` files, folders of them, Maildirs, and mbox files (RFC 4155), through the spool."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from core.errors import UserError
from core.gateway import spool
from core.gateway.explain import source_of
from core.gateway.intake import take_in
from core.gateway.receive import process
from core.gateway.spool import OPEN
from core.gateway.values import Account, Outcome
from core.pattern import pattern
from core.runtime import get_model, settings

_FROM_LINE = b"From "
_SEPARATOR = pattern(rb"From .*\d\d:\d\d")
"""The line between two mails tells a time, by which it is known from a sentence that starts with the word."""
_QUOTED_FROM = pattern(rb">+From ")
_LINE_BYTES = 1_000_000
_TO_READ = (".eml", ".mbox")
_OF_MAILDIR = ("cur", "new")


class _NoMore:
    """After the last mail of a file."""


_NO_MORE = _NoMore()


async def load(paths: Sequence[Path]) -> AsyncIterator[Account]:
    """Bring in every mail of files and folders, in order, and yield what became of each.

    A mail that was brought in before gives `duplicate` with what it led to then. Once all others were brought in, it
    raises UserError for what cannot be read, folders without mail, and mails over MAX_MAIL_BYTES.
    """
    faults: list[str] = []
    for path in paths:
        files = _files(path)
        if not files:
            faults.append(f"{path} holds no mail: no file *.eml or *.mbox, and no Maildir.")
        for file in files:
            async for raw in _mails_of(file, faults):
                yield replace(await bring_in(raw), file=str(file))
    if faults:
        raise UserError("Not brought in:" + "".join(f"\n  - {fault}" for fault in faults))


async def _mails_of(path: Path, faults: list[str]) -> AsyncIterator[bytes]:
    """Yield the mails of a file, and add to the faults what cannot be read of it."""
    try:
        with path.open("rb") as file:
            mails = mails_in(file, settings().MAX_MAIL_BYTES)
            number = 0
            while not isinstance(raw := await asyncio.to_thread(next, mails, _NO_MORE), _NoMore):
                number += 1
                if raw is None:
                    most = settings().MAX_MAIL_BYTES
                    faults.append(f"{path} ({number}.) is larger than {most} bytes; raise MAX_MAIL_BYTES for it.")
                else:
                    yield raw
    except OSError as error:
        faults.append(f"{path} cannot be read: {error.strerror}.")


@dataclass(slots=True)
class Loaded:
    """What became of mails that were brought in: the first ones' accounts, and of the others how many wait for a
    worker, how many were known, and how many were too large.
    """

    accounts: list[Account] = field(default_factory=list)
    later: int = 0
    known: int = 0
    too_large: int = 0


async def load_files(files: Iterable[BinaryIO], at_once: int) -> Loaded:
    """Bring in the mails of open files, and deal with the first `at_once` of them.

    Whoever brings a file may have written all that stands in it, so what it says of its own way proves nothing.
    """
    loaded = Loaded()
    for file in files:
        for raw in await asyncio.to_thread(list, mails_in(file, settings().MAX_MAIL_BYTES)):
            if raw is None:
                loaded.too_large += 1
            elif raw and len(loaded.accounts) < at_once:
                loaded.accounts.append(await bring_in(raw, OPEN))
            elif raw:
                is_new = await take_in(raw, OPEN + source_of(raw)) is not None
                loaded.later += is_new
                loaded.known += not is_new
    return loaded


async def bring_in(raw: bytes, mark: str = "") -> Account:
    """Bring one mail in, and return what became of it, or what did when it was brought in before.

    `mark` stands before its source.
    """
    source = mark + source_of(raw)
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
        return sorted(file for file in path.rglob("*") if file.is_file() and _is_mail(file))
    return [path]


def _is_mail(file: Path) -> bool:
    return file.suffix.lower() in _TO_READ or file.parent.name in _OF_MAILDIR


def mails_in(file: BinaryIO, largest_bytes: int) -> Iterator[bytes | None]:
    """Yield the mails of an open `.eml` or mbox file one by one, as they stand there; None for one that is too large.

    The `>` before quoted `From ` lines of an mbox is taken away.
    """
    first = file.readline(_LINE_BYTES)
    if not first.startswith(_FROM_LINE):
        rest = file.read(largest_bytes + 1)
        yield None if len(first) + len(rest) > largest_bytes else first + rest
        return
    lines: list[bytes] = []
    size, is_after_empty, is_line_start = 0, False, True
    while line := file.readline(_LINE_BYTES):
        if is_after_empty and _SEPARATOR.match(line):
            yield _mail_of(lines, size, largest_bytes)
            lines, size, is_after_empty = [], 0, False
            continue
        size += len(line)
        if size <= largest_bytes:
            lines.append(line[1:] if is_line_start and _QUOTED_FROM.match(line) else line)
        is_after_empty = is_line_start and not line.strip(b"\r\n")
        is_line_start = line.endswith(b"\n")
    yield _mail_of(lines, size, largest_bytes)


def _mail_of(lines: list[bytes], size: int, largest_bytes: int) -> bytes | None:
    """Return a mail of an mbox, without the empty line that stands after each."""
    if size > largest_bytes:
        return None
    if lines and lines[-1] in (b"\n", b"\r\n"):
        lines = lines[:-1]
    return b"".join(lines)
