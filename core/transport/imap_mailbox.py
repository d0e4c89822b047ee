"""A session with an IMAP server and the folder that is open in it (RFC 3501, 9051), for one task at a time.

Fetching never changes a mailbox: mails are only peeked at, and what happens to them afterwards is asked for by name
(`mark_seen`, `move`, `delete`). Knows no records. UIDs mean a mail only together with `uid_validity`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from datetime import date
from heapq import merge
from itertools import groupby, pairwise, zip_longest
from typing import TYPE_CHECKING

from core.pattern import pattern
from core.transport.imap_account import ImapAccount, ImapError
from core.transport.imap_fetch import content_of, size_of
from core.transport.imap_list import Folder, folder_of
from core.transport.imap_names import day, folder_argument, uid_set
from core.transport.imap_reader import ResponseError
from core.transport.mailbox_items import FetchedMail, Item, TooLarge, Unfetchable, batches

if TYPE_CHECKING:
    from core.transport.imap_protocol import Answer, ImapProtocol

MEGABYTE = 1024 * 1024
UIDS_PER_COMMAND = 500
LAST_UID = 2**32 - 1
SLOWEST_BYTES_PER_S = 16 * 1024
"""A server that fetches slower than this is given up."""
IDLE_AT_MOST_S = 28 * 60
"""Servers may end an IDLE after half an hour (RFC 2177)."""
POLL_EVERY_S = 20
_SHORTEST_IDLE_S = 1
_READ_IN_THREAD_BYTES = 64 * 1024
_WORD = pattern(rb"[^ ]+")
_LONGEST_UID = len(str(LAST_UID))
_SORTED_AT_ONCE = 10_000
_EMPTY_HANDED = "it lists this mail and hands out nothing"


class ImapSession:
    """A connection that is logged in. After an ImapError or a cancellation it is closed."""

    def __init__(self, protocol: ImapProtocol, account: ImapAccount, capabilities: frozenset[str]):
        self.protocol = protocol
        self.account = account
        self.capabilities = capabilities
        self._turn = asyncio.Lock()

    @property
    def is_over(self) -> bool:
        """Whether the connection is closed, so that nothing more can be asked."""
        return self.protocol.fault is not None

    @property
    def has_idle(self) -> bool:
        return "IDLE" in self.capabilities

    async def select(self, folder: str) -> Mailbox:
        """Open a folder, which closes the one before; ConfigError for an impossible name, ImapError for none there."""
        argument = folder_argument(folder)
        answer = await self.run("select", "SELECT", argument)
        if answer.status != "OK":
            raise ImapError("select", str(self.account), f"the server does not open {folder}", answer.text)
        return Mailbox(self, answer)

    async def folders(self) -> tuple[Folder, ...]:
        """Return the folders there are, in the order of their names."""
        has_uses = {"LIST-EXTENDED", "SPECIAL-USE"} <= self.capabilities
        answer = await self.ok("list", "LIST", '""', '"*"', *(["RETURN", "(SPECIAL-USE)"] if has_uses else []))
        with self.reading():
            found = [folder for response in answer.responses if (folder := folder_of(response)) is not None]
        return tuple(sorted(found, key=lambda folder: folder.name.casefold()))

    async def run(self, step: str, name: str, *arguments: str, expected_bytes: int = 0) -> Answer:
        """Run a command in its turn and return its answer, whichever it is; ImapError where the session is over."""
        async with self._turn:
            return await self.protocol.run(
                step,
                name,
                *arguments,
                within_s=self.account.timeout_s + expected_bytes / SLOWEST_BYTES_PER_S,
                expected_bytes=expected_bytes,
            )

    async def ok(self, step: str, name: str, *arguments: str) -> Answer:
        """Run a command that must succeed; ImapError where it is refused."""
        answer = await self.run(step, name, *arguments)
        if answer.status != "OK":
            raise self.refusal(step, answer)
        return answer

    def refusal(self, step: str, answer: Answer) -> ImapError:
        return ImapError(step, str(self.account), "the server refused", answer.text)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Within the block a response that cannot be read ends the connection."""
        try:
            yield
        except ResponseError as error:
            raise self.protocol.fail(f"the server broke the protocol: {error}") from error


class Mailbox:
    """The folder that is open in a session."""

    def __init__(self, session: ImapSession, selected: Answer):
        self._session = session
        self._account = session.account
        self.fetching: tuple[int, ...] = ()
        """The UIDs of the last command that asked for contents: those that it broke off with, where it did."""
        self.uid_validity = _code_number(selected, "UIDVALIDITY")
        """Another number than last time means that the UIDs known from then are void."""
        self.uid_next = _code_number(selected, "UIDNEXT")
        """The lowest UID that a new mail may get; 0 where the server does not say."""
        if not self.uid_validity:
            reason = "the server gives no UIDVALIDITY, so mails cannot be told apart"
            raise ImapError("select", str(self._account), reason)

    @property
    def is_over(self) -> bool:
        return self._session.is_over

    async def uids(self, after: int = 0) -> tuple[int, ...]:
        """Return the UIDs greater than `after`, rising."""
        return await self.search(after)

    async def unseen_uids(self, after: int = 0) -> tuple[int, ...]:
        """Return the UIDs greater than `after` that nobody has seen, rising."""
        return await self.search(after, unseen=True)

    async def search(self, after: int = 0, *, unseen: bool = False, since: date | None = None) -> tuple[int, ...]:
        """Return the UIDs greater than `after`, rising; only unseen ones, or those received on a day or later."""
        # News that come during the search count for the next time, as they may be missing from its result.
        self._session.protocol.news.clear()
        if after >= LAST_UID:
            return ()
        keys = [*(["UNSEEN"] if unseen else []), *(["SINCE", day(since)] if since else [])]
        answer = await self._session.ok("search", "UID SEARCH", "UID", f"{after + 1}:*", *keys)
        lines = [line for line, *_ in answer.responses if line[:8].upper() == b"* SEARCH"]
        with self._session.reading():
            if sum(map(len, lines)) < _READ_IN_THREAD_BYTES:
                return _found(lines, after)
            return await asyncio.to_thread(_found, lines, after)

    async def fetch(
        self,
        uids: Iterable[int],
        *,
        max_mail_bytes: int = 50 * MEGABYTE,
        max_batch_bytes: int = 8 * MEGABYTE,
        max_batch_count: int = 250,
    ) -> AsyncGenerator[Item, None]:
        """Yield these mails in rising order, as `fetch_batches` brings them."""
        limits = {"max_batch_bytes": max_batch_bytes, "max_batch_count": max_batch_count}
        async for batch in self.fetch_batches(uids, max_mail_bytes=max_mail_bytes, **limits):
            for item in batch:
                yield item

    async def fetch_batches(
        self, uids: Iterable[int], *, max_mail_bytes: int, max_batch_bytes: int, max_batch_count: int
    ) -> AsyncGenerator[list[Item], None]:
        """Yield these mails in lists, in rising order, leaving them unseen; one list is fetched ahead.

        A mail over `max_mail_bytes` comes as TooLarge, before the others of its window, and is not transferred; one
        that the server does not hand out as Unfetchable; one that is gone does not come.
        """
        for window in _windows(sorted(set(uids)), UIDS_PER_COMMAND):
            sizes = await self._sizes(window)
            if too_large := [TooLarge(uid, size) for uid, size in sizes.items() if size > max_mail_bytes]:
                yield list(too_large)
            small = {uid: size for uid, size in sizes.items() if size <= max_mail_bytes}
            parts = list(batches(small, max_batch_bytes, max_batch_count))
            async with aclosing(self._one_ahead(parts, max_batch_bytes)) as fetched:
                async for batch in fetched:
                    yield batch

    async def mark_seen(self, uids: Iterable[int]) -> None:
        """Set \\Seen; UIDs that are gone are passed over."""
        for window in _windows(sorted(set(uids)), UIDS_PER_COMMAND):
            await self._session.ok("store", "UID STORE", uid_set(window), "+FLAGS.SILENT", r"(\Seen)")

    async def move(self, uids: Iterable[int], folder: str) -> None:
        """Move to another folder; in one step where the server can (RFC 6851), else by copying and deleting."""
        argument = folder_argument(folder)
        for window in _windows(sorted(set(uids)), UIDS_PER_COMMAND):
            verb = "MOVE" if "MOVE" in self._session.capabilities else "COPY"
            answer = await self._session.run("move", f"UID {verb}", uid_set(window), argument)
            if answer.status != "OK":
                raise ImapError("move", str(self._account), f"the server does not move mail to {folder}", answer.text)
            if verb == "COPY":
                await self.delete(window)

    async def delete(self, uids: Iterable[int]) -> None:
        """Delete for good; where the server cannot expunge these alone (RFC 4315), they are only marked as deleted."""
        for window in _windows(sorted(set(uids)), UIDS_PER_COMMAND):
            await self._session.ok("delete", "UID STORE", uid_set(window), "+FLAGS.SILENT", r"(\Deleted)")
            if "UIDPLUS" in self._session.capabilities:
                await self._session.ok("delete", "UID EXPUNGE", uid_set(window))

    async def wait_for_change(self, timeout_s: float) -> bool:
        """Wait until the server tells of mail since the last search, and return True; False after `timeout_s`.

        Uses IDLE, at most 28 minutes at a time, and where the server has none asks every 20 seconds.
        """
        protocol, within_s = self._session.protocol, self._account.timeout_s
        give_up_at = protocol.loop.time() + timeout_s
        is_idle = self._session.has_idle
        while not protocol.news.is_set() and (left_s := give_up_at - protocol.loop.time()) > 0:
            begun_at = protocol.loop.time()
            if is_idle:
                is_idle = await protocol.idle(min(left_s, IDLE_AT_MOST_S), within_s)
                # One that is over at once would be asked for again and again.
                is_idle = is_idle and protocol.loop.time() - begun_at >= min(left_s, _SHORTEST_IDLE_S)
            else:
                await asyncio.sleep(min(left_s, POLL_EVERY_S))
                await self._session.ok("noop", "NOOP")
        return protocol.news.is_set()

    async def _one_ahead(self, parts: Sequence[Mapping[int, int]], max_bytes: int) -> AsyncGenerator[list[Item], None]:
        """Yield the mails of each part while the next one is on its way, unless one of the two is a large mail."""
        ahead: asyncio.Task[list[Item]] | None = None
        try:
            for part, following in zip_longest(parts, parts[1:]):
                mails = await (ahead or self._mails(part))
                ahead = None
                if following and max(sum(part.values()), sum(following.values())) <= max_bytes:
                    ahead = asyncio.create_task(self._mails(following))
                yield mails
        except GeneratorExit:
            # Who has enough may go on with this session: what is on its way comes to its end.
            if ahead is not None:
                await asyncio.wait({ahead})
            raise
        finally:
            if ahead is not None:
                ahead.cancel()
                await asyncio.gather(ahead, return_exceptions=True)

    async def _sizes(self, uids: Sequence[int]) -> dict[int, int]:
        answer = await self._session.ok("sizes", "UID FETCH", uid_set(uids), "(UID RFC822.SIZE)")
        with self._session.reading():
            sizes = dict(found for response in answer.responses if (found := size_of(response)) is not None)
        return {uid: sizes[uid] for uid in uids if uid in sizes}

    async def _mails(self, sizes: Mapping[int, int]) -> list[Item]:
        """Fetch one part; where the server refuses it, mail by mail."""
        self.fetching = tuple(sizes)
        answer = await self._session.run(
            "fetch", "UID FETCH", uid_set(sizes), "(UID BODY.PEEK[])", expected_bytes=sum(sizes.values())
        )
        with self._session.reading():
            contents = dict(found for response in answer.responses if (found := content_of(response)) is not None)
        items: list[Item] = [FetchedMail(uid, size, contents[uid]) for uid, size in sizes.items() if uid in contents]
        missing = [uid for uid in sizes if uid not in contents]
        if not missing:
            return items
        if answer.status == "OK":
            # Gone meanwhile, as a rule; what is still there must not be passed over in silence.
            items += [Unfetchable(uid, size, _EMPTY_HANDED) for uid, size in (await self._sizes(missing)).items()]
        elif len(sizes) == 1:
            items += [
                Unfetchable(uid, sizes[uid], self._session.refusal("fetch", answer).server_text) for uid in missing
            ]
        else:
            items += [item for uid in missing for item in await self._mails({uid: sizes[uid]})]
        return sorted(items, key=lambda item: item.uid)


def _found(lines: Sequence[bytes], after: int) -> tuple[int, ...]:
    """Return the UIDs in SEARCH responses; "n:*" means the last mail too, even where n is beyond it.

    Each step is short, so that no other thread waits for Python's lock while a mailbox of a million mails is read.
    """
    words = (word[0] for line in lines for word in _WORD.finditer(line, 8))
    uids = [uid for uid in map(_uid, words) if uid > after]
    if all(uid < following for uid, following in pairwise(uids)):
        return tuple(uids)
    slices = (sorted(part) for part in _windows(uids, _SORTED_AT_ONCE))
    return tuple(uid for uid, _ in groupby(merge(*slices)))


def _uid(word: bytes) -> int:
    if not word.isdigit() or len(word) > _LONGEST_UID:
        raise ResponseError(f"a SEARCH response has {word[:40]!r} where a UID is due")
    return int(word)


def _code_number(selected: Answer, name: str) -> int:
    """Return the number in a response code such as `[UIDNEXT 7]` of a SELECT, 0 if there is none."""
    pattern = re.compile(rb"\* OK \[%b ([0-9]{1,10})\]" % name.encode("ascii"), re.IGNORECASE)
    numbers = [int(code[1]) for line, *_ in selected.responses if (code := pattern.match(line))]
    return numbers[-1] if numbers else 0


def _windows(uids: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (uids[start : start + size] for start in range(0, len(uids), size))
