"""One visit to a folder of an IMAP mailbox: peek, commit, and only then mark, move or delete (DELIVERY C8).

What is new is told by UIDs, which rise (RFC 9051, 2.3.1.1), and never by \\Seen, which others set too. All that is
known of a folder is kept in its MailFolder: the UIDs up to `last_uid` are dealt with, and that moves on only when the
mails before it are stored and marked. No transaction is open while the network is used.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import date, timedelta
from hashlib import sha256
from itertools import islice
from typing import Any

import structlog

from core import clock
from core.errors import ConfigError
from core.gateway import spool
from core.gateway.fetch_health import Fetched
from core.gateway.fetch_lease import Lease
from core.gateway.fetch_left import Leftovers
from core.gateway.fetch_source import imap_source
from core.runtime import get_model, settings
from core.transport.imap import FetchedMail, ImapError, ImapSession, Mailbox
from core.transport.imap_names import uid_set, uids_of
from core.transport.mailbox_items import Item

log = structlog.get_logger(__name__)

MAILS_PER_VISIT = 1000
"""After so many of a folder the other folders and servers have their turn."""
BATCH_COUNT = 250
_RESCAN_MARGIN = timedelta(days=2)
"""SEARCH knows days only, and those of the server's zone."""
_MANY_UIDS = 10_000


async def visit(session: ImapSession, server: Any, folders: Sequence[str], lease: Lease, fetched: Fetched) -> Mailbox:
    """Fetch what is new in some folders, and return the last one's Mailbox, which stays open.

    A folder that cannot be opened is told of and hinders no other. Raises ImapError where none can be, and where the
    session is over.
    """
    mailbox: Mailbox | None = None
    fault: Exception = ConfigError(f"{server.name} names no folder to fetch from.")
    for name in folders:
        try:
            mailbox = await session.select(name)
            place = await _Place.find(server, name, mailbox)
            await _FolderVisit(server, mailbox, place, lease, fetched).fetch()
        except ImapError as error:
            if session.is_over:
                raise
            fault = error
            fetched.refuse(error)
    if mailbox is None:
        raise fault
    return mailbox


@dataclass(slots=True)
class _Place:
    """How far a folder has been fetched: its MailFolder, kept in step with what was stored."""

    row: Any

    @classmethod
    async def find(cls, server: Any, name: str, mailbox: Mailbox) -> _Place:
        """Load it, or begin it; begin it anew where the server gave the UIDs anew."""
        rows = get_model("MailFolder")
        row, _ = await rows.get_or_create(server_id=server.id, name=name)
        place = cls(row)
        is_new = not row.first_uid
        if not is_new and row.uid_validity == mailbox.uid_validity:
            return place
        first_uid = mailbox.uid_next or max(await mailbox.uids(), default=0) + 1
        backlog = [await _old_mail(server, mailbox)] if is_new or row.backlog else []
        if not is_new:
            lost = await Leftovers(server.id, name, f"{mailbox.uid_validity}:").drop_others()
            log.warning("the folder's UIDs were given anew", server=server.name, folder=name, left_behind=lost)
            since = (row.last_success_at or clock.now()) - _RESCAN_MARGIN
            backlog.append(await mailbox.search(since=since.date()))
        elif row.uid_validity:
            # Fetched from by a version that kept no UIDs: what is unread is what was not fetched.
            backlog.append(await mailbox.unseen_uids())
        await place._change(
            uid_validity=mailbox.uid_validity,
            first_uid=first_uid,
            backlog=await _ranges_below(first_uid, backlog),
            last_uid=0,
            moved_below=0 if is_new else first_uid,
        )
        return place

    async def wanted(self, mailbox: Mailbox, limit: int) -> list[int]:
        """Return the UIDs to fetch, rising, at most `limit`."""
        row = self.row
        old = list(islice(uids_of(row.backlog, after=row.last_uid), limit))
        if len(old) == limit:
            return old
        return [*old, *await mailbox.uids(after=max(row.last_uid, row.first_uid - 1))][:limit]

    async def reach(self, uid: int) -> None:
        """Note that all up to here is dealt with; never backwards, as another worker may be further."""
        row = self.row
        changes: dict[str, Any] = {"last_uid": uid}
        if row.backlog and uid >= row.first_uid - 1:
            changes["backlog"] = ""
        rows = get_model("MailFolder").filter(id=row.id, uid_validity=row.uid_validity, last_uid__lt=uid)
        await rows.update(**changes)
        row.last_uid = max(row.last_uid, uid)

    async def finish(self) -> None:
        """Note that nothing is left to fetch."""
        await self._change(is_careful=False, last_success_at=clock.now(), backlog="")

    async def be_careful(self) -> None:
        await self._change(is_careful=True)

    async def _change(self, **values: Any) -> None:
        self.row.update_from_dict(values)
        await get_model("MailFolder").filter(id=self.row.id).update(**values)


@dataclass(slots=True)
class _FolderVisit:
    server: Any
    mailbox: Mailbox
    place: _Place
    lease: Lease
    fetched: Fetched

    async def fetch(self) -> None:
        wanted = await self.place.wanted(self.mailbox, MAILS_PER_VISIT + 1)
        taken = wanted[:MAILS_PER_VISIT]
        has_all = await self._fetch(taken) and len(taken) == len(wanted)
        self.fetched.more |= not has_all
        if has_all:
            if self.place.row.is_careful:
                await self._left.trust()
            await self.place.finish()
            await self._fetch_left()
        self.fetched.left_behind += await self._left.words()

    async def _fetch(self, uids: Sequence[int]) -> bool:
        """Store these mails, and note how far that came; whether it came to the end."""
        if not uids:
            return True
        limits = (0, 1) if self.place.row.is_careful else (spool.BATCH_BYTES, BATCH_COUNT)
        try:
            async with aclosing(self._batches(uids, *limits)) as batches:
                async for batch in batches:
                    await self._keep(batch)
                    if not self.lease.may_go_on:
                        return False
        except ImapError as error:
            if error.step == "fetch":
                await self._suspect(error)
            raise
        await self.place.reach(uids[-1])
        return True

    def _batches(
        self, uids: Sequence[int], max_batch_bytes: int, max_batch_count: int
    ) -> AsyncGenerator[list[Item], None]:
        return self.mailbox.fetch_batches(
            uids,
            max_mail_bytes=settings().MAX_MAIL_BYTES,
            max_batch_bytes=max_batch_bytes,
            max_batch_count=max_batch_count,
        )

    async def _keep(self, batch: Sequence[Item], *, reach: bool = True) -> None:
        """Commit mails, and then do with them there what the record says; what was fetched before is only marked."""
        mails = [item for item in batch if isinstance(item, FetchedMail)]
        for item in batch:
            if not isinstance(item, FetchedMail):
                await self._left.leave(self._left.prefix + str(item.uid), item)
        if not mails:
            return
        moved = await self._moved(mails)
        new = [(self._source(mail.uid), mail.raw) for mail in mails if mail.uid not in moved]
        stored = await spool.store_many(new)
        self.fetched.stored += len(stored)
        self.fetched.known += len(mails) - len(stored)
        await self._afterwards_or_tell([mail.uid for mail in mails])
        if reach:
            await self.place.reach(mails[-1].uid)

    async def _afterwards_or_tell(self, uids: Sequence[int]) -> None:
        """Do with mails there what the record says; a server that refuses it keeps no mail from being fetched."""
        try:
            await self._afterwards(uids)
        except ImapError as error:
            if self.mailbox.is_over:
                raise
            self.fetched.refuse(error)

    async def _afterwards(self, uids: Sequence[int]) -> None:
        match self.server.after_fetch:
            case "seen":
                await self.mailbox.mark_seen(uids)
            case "move":
                await self.mailbox.move(uids, self.server.move_to)
            case "delete":
                await self.mailbox.delete(uids)

    async def _moved(self, mails: Sequence[FetchedMail]) -> set[int]:
        """Return the UIDs of mails that came from this folder before its UIDs were given anew."""
        digests: dict[str, list[int]] = {}
        for mail in mails:
            if mail.uid < self.place.row.moved_below:
                digests.setdefault(sha256(mail.raw).hexdigest(), []).append(mail.uid)
        if not digests:
            return set()
        rows = get_model("InboundEmail").filter(sha256__in=list(digests))
        folder, validity, _ = self._source(0).rsplit(":", 2)
        moved: set[int] = set()
        for source, digest in await rows.values_list("source", "sha256"):
            there, *numbers = source.rsplit(":", 2)
            if there == folder and numbers[:1] != [validity]:
                moved.update(digests[digest])
        return moved

    async def _suspect(self, error: ImapError) -> None:
        """After a session that broke off in the middle of mails, go on one by one, to find the one that does it."""
        was_careful = self.place.row.is_careful
        await self.place.be_careful()
        if len(self.mailbox.fetching) == 1:
            (uid,) = self.mailbox.fetching
            is_left = await self._left.suspect(self._left.prefix + str(uid), f"fetching it failed: {error.reason}")
            if is_left and was_careful:
                log.error("mail left behind", server=self.server.name, folder=self.place.row.name, uid=uid)
                await self.place.reach(uid)

    async def _fetch_left(self) -> None:
        """Try those again that had to stay; what happens to them hinders nothing else."""
        due = {int(uid.removeprefix(self._left.prefix)): uid for uid in await self._left.due()}
        for number, uid in due.items():
            async with aclosing(self._batches([number], 0, 1)) as batches:
                items = [item async for batch in batches for item in batch]
            await self._keep(items, reach=False)
            if not items or isinstance(items[0], FetchedMail):
                await self._left.forget(uid)

    @property
    def _left(self) -> Leftovers:
        row = self.place.row
        return Leftovers(self.server.id, row.name, f"{row.uid_validity}:")

    def _source(self, uid: int) -> str:
        row = self.place.row
        return imap_source(self.server, row.name, row.uid_validity, uid)


async def _old_mail(server: Any, mailbox: Mailbox) -> tuple[int, ...]:
    """Return the UIDs of what was there before the first visit, as far as the record wants it."""
    if server.old_mail == "none":
        return ()
    if server.old_mail == "all":
        return await mailbox.uids()
    return await mailbox.search(unseen=server.old_mail == "unseen", since=oldest_day(server))


def oldest_day(server: Any) -> date | None:
    """Return the first of the last days whose mail is wanted, None for mail of any age."""
    return (clock.now() - timedelta(days=server.old_mail_days)).date() if server.old_mail_days else None


async def _ranges_below(limit: int, found: Sequence[Sequence[int]]) -> str:
    """Return UIDs below a limit as ranges; in a thread where there are very many."""

    def ranges() -> str:
        return uid_set(uid for uids in found for uid in uids if uid < limit)

    return await asyncio.to_thread(ranges) if sum(map(len, found)) > _MANY_UIDS else ranges()
