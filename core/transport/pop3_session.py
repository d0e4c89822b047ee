"""A session with a POP3 mailbox (RFC 1939), for one task at a time: what is there, its mails, deleting them.

Nothing is deleted before the server has said yes to `quit`: who leaves in another way finds every mail again.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from core.pattern import pattern
from core.transport.mailbox_items import FetchedMail, Item, TooLarge, Unfetchable, batches
from core.transport.pop3_account import Pop3Account, Pop3Error
from core.transport.pop3_wire import Pop3Wire

SLOWEST_BYTES_PER_S = 16 * 1024
"""A server that sends slower than this is given up."""
_LIST_BYTES = 64 * 1024 * 1024
"""What a listing may take: a million mails with UIDs of the longest kind."""
_BEYOND_BYTES = 64 * 1024
_HEADER_BYTES = 8 * 1024 * 1024
_QUIT_WITHIN_S = 60
_SIZE = pattern(rb"([0-9]{1,10}) +([0-9]{1,15})(?: .*)?")
_Command = TypeVar("_Command", int, str)
_UID = pattern(rb"([0-9]{1,10}) +([\x21-\x7e]{1,255}) *")


@dataclass(frozen=True, slots=True)
class Listed:
    """A mail of the mailbox: its number in this session and its size.

    `uid` is what the server calls it in every session; empty where it gives none that is its own.
    """

    number: int
    size_bytes: int
    uid: str = ""


class Pop3Session:
    """A connection that is logged in. After a Pop3Error or a cancellation it is closed and nothing is deleted."""

    def __init__(self, wire: Pop3Wire, account: Pop3Account, capabilities: Mapping[str, Sequence[str]]):
        self.account = account
        self.capabilities = capabilities
        self._wire = wire
        self.is_over = False
        self.fetching: int | None = None
        """The number of the mail that was read last: the one that the session broke off with, where it did."""

    async def listing(self) -> tuple[Listed, ...]:
        """Return the mails there are, in the order of their numbers."""
        sizes = dict(await self._numbered("list", "LIST", _SIZE))
        uids = dict(await self._numbered("uidl", "UIDL", _UID, may_fail=True)) if sizes else {}
        own = _own_uids({number: uid.decode("ascii") for number, uid in uids.items()})
        return tuple(Listed(number, int(size), own.get(number, "")) for number, size in sorted(sizes.items()))

    async def header(self, number: int) -> bytes:
        """Return a mail's header (TOP); empty where the server does not hand out one alone."""
        answer = await self._within("top", self._status(f"TOP {number} 0"))
        if not answer.startswith(b"+OK"):
            return b""
        return await self._within("top", self._wire.text(_HEADER_BYTES))

    async def fetch_batches(
        self, mails: Iterable[Listed], *, max_mail_bytes: int, max_batch_bytes: int, max_batch_count: int
    ) -> AsyncIterator[list[Item]]:
        """Yield these mails in lists, in the order of their numbers; asked for all at once where the server can.

        A mail over `max_mail_bytes` comes as TooLarge, before all others, and is not transferred; one that the server
        does not hand out as Unfetchable.
        """
        sizes = {one.number: one.size_bytes for one in sorted(mails, key=lambda one: one.number)}
        if too_large := [TooLarge(number, size) for number, size in sizes.items() if size > max_mail_bytes]:
            yield list(too_large)
        small = {number: size for number, size in sizes.items() if size <= max_mail_bytes}
        for batch in batches(small, max_batch_bytes, max_batch_count):
            yield [item async for item in self._fetched(batch)]

    async def delete(self, numbers: Sequence[int]) -> None:
        """Mark mails to be deleted by `quit`; one that the server refuses stays."""
        for part in self._parts([f"DELE {number}" for number in numbers]):
            self._wire.send(*part)
            for _ in part:
                await self._within("dele", self._wire.line())

    async def quit(self) -> bool:
        """Delete what was marked and leave; whether the server says that it did."""
        self.is_over = True
        answer = await self._wire.within("quit", _QUIT_WITHIN_S, self._status("QUIT"))
        return answer.startswith(b"+OK")

    async def _fetched(self, sizes: Mapping[int, int]) -> AsyncIterator[Item]:
        for part in self._parts(list(sizes)):
            self._wire.send(*(f"RETR {number}" for number in part))
            for number in part:
                yield await self._mail(number, sizes[number])

    async def _mail(self, number: int, size_bytes: int) -> Item:
        self.fetching = number
        seconds = self.account.timeout_s + size_bytes / SLOWEST_BYTES_PER_S
        answer, raw = await self._wire.within("fetch", seconds, self._answer_and_mail(size_bytes))
        if answer.startswith(b"-ERR"):
            refusal = Pop3Error("fetch", str(self.account), "", answer[5:])
            return Unfetchable(number, size_bytes, refusal.server_text)
        return FetchedMail(number, size_bytes, raw)

    async def _answer_and_mail(self, size_bytes: int) -> tuple[bytes, bytes]:
        answer = await self._wire.line()
        if answer.startswith(b"-ERR"):
            return answer, b""
        if not answer.startswith(b"+OK"):
            raise ValueError(f"it answers {answer[:40]!r}")
        # Twice, because some servers count a line end as one byte.
        return answer, await self._wire.text(2 * size_bytes + _BEYOND_BYTES)

    async def _numbered(
        self, step: str, command: str, pattern: re.Pattern[bytes], *, may_fail: bool = False
    ) -> list[tuple[int, bytes]]:
        answer = await self._within(step, self._status(command))
        if not answer.startswith(b"+OK"):
            if may_fail:
                return []
            raise self._wire.fail(step, f"the server refused {command}", answer)
        lines = (await self._within(step, self._wire.text(_LIST_BYTES), _LIST_BYTES)).splitlines()
        found = [pattern.fullmatch(line) for line in lines]
        if not may_fail and None in found:
            raise self._wire.fail(step, f"the server broke the protocol: its {command} cannot be read")
        return [(int(one[1]), one[2]) for one in found if one is not None]

    async def _status(self, command: str) -> bytes:
        self._wire.send(command)
        return await self._wire.line()

    async def _within(self, step: str, work: Awaitable[bytes], expected_bytes: int = 0) -> bytes:
        return await self._wire.within(step, self.account.timeout_s + expected_bytes / SLOWEST_BYTES_PER_S, work)

    def _parts(self, commands: list[_Command]) -> list[list[_Command]]:
        """Return what goes in one write: all of it, or one at a time where the server cannot take more (RFC 2449)."""
        if "PIPELINING" in self.capabilities:
            return [commands] if commands else []
        return [[one] for one in commands]


def _own_uids(uids: Mapping[int, str]) -> dict[int, str]:
    """Leave out those that are not a mail's own: shared by two, or nothing but the number in this session."""
    counts: dict[str, int] = {}
    for uid in uids.values():
        counts[uid] = counts.get(uid, 0) + 1
    if all(uid == str(number) for number, uid in uids.items()):
        return {}
    return {number: uid for number, uid in uids.items() if counts[uid] == 1}
