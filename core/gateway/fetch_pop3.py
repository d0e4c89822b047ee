"""One visit to a POP3 mailbox: fetch what is new, commit, and only then delete, where that is wanted (DELIVERY C8).

What is new is told by the server's lasting ids (UIDL), each remembered with its size as long as it is listed. Where a
server gives none that is a mail's own, every mail is read at each visit and told by its content. A session that ends
without QUIT has deleted nothing: what was to go is read once more, makes no second record, and goes then.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from email.utils import parsedate_to_datetime
from hashlib import sha256
from typing import Any

from core.gateway import spool
from core.gateway.fetch_health import Fetched
from core.gateway.fetch_imap import BATCH_COUNT, MAILS_PER_VISIT, oldest_day
from core.gateway.fetch_lease import Lease
from core.gateway.fetch_left import Leftovers
from core.gateway.fetch_source import pop3_source
from core.gateway.large_mail import LARGE_BYTES
from core.orm.transaction import transaction
from core.pattern import pattern
from core.runtime import get_model, settings
from core.transport.mailbox_items import FetchedMail, Item
from core.transport.pop3 import Listed, Pop3Error, Pop3Session

_OLD_IN_A_ROW = 20
"""After so many old mails, going back from the newest, those before are old too."""
_FOLD = pattern(rb"\r?\n(?=[ \t])")
_RECEIVED = pattern(rb"^received:[^\n]*;([^;\r\n]*)\r?$", re.IGNORECASE | re.MULTILINE)
_DATE = pattern(rb"^date:([^\r\n]*)\r?$", re.IGNORECASE | re.MULTILINE)


async def visit(session: Pop3Session, server: Any, lease: Lease, fetched: Fetched) -> None:
    """Fetch what is new; raises Pop3Error where the session breaks off."""
    mailbox = _Mailbox(session, server, lease, fetched, {one.number: one for one in await session.listing()})
    await mailbox.fetch()


@dataclass(slots=True)
class _Mailbox:
    session: Pop3Session
    server: Any
    lease: Lease
    fetched: Fetched
    listed: dict[int, Listed]
    """By their numbers."""
    known: dict[str, tuple[str, int]] = field(default_factory=dict)
    """State and size of the mails that are remembered, by name."""

    async def fetch(self) -> None:
        """Fetch what is new, and delete what was fetched, as the record says."""
        await self._pass_over_once()
        rows = self._rows().values_list("uid", "state", "size_bytes")
        self.known = {uid: (state, size) for uid, state, size in await rows}
        due = set(await self._left.due())
        new = [one for one in self.listed.values() if _name(one) in due or self._is_new(one)]
        again = [one for one in self.listed.values() if self._deletes and self._state_of(one) == "fetched"]
        taken = [*new, *again][:MAILS_PER_VISIT]
        has_all = await self._fetch(taken)
        self.fetched.more |= not has_all or len(new) > MAILS_PER_VISIT
        await self._forget(self.known.keys() - {_name(one) for one in self.listed.values()})
        self.fetched.left_behind += await self._left.words()
        if self._deletes and await self.session.quit():
            await self._forget({_name(one) for one in taken})

    async def _fetch(self, mails: Sequence[Listed]) -> bool:
        """Store these mails; whether it came to the end."""
        limits = {"max_batch_bytes": spool.BATCH_BYTES, "max_batch_count": BATCH_COUNT}
        try:
            async for batch in self.session.fetch_batches(mails, max_mail_bytes=settings().MAX_MAIL_BYTES, **limits):
                await self._keep(batch)
                if not self.lease.may_go_on:
                    return False
        except Pop3Error as error:
            if error.step == "fetch" and self.session.fetching is not None:
                await self._left.suspect(
                    _name(self.listed[self.session.fetching]), f"reading it failed: {error.reason}"
                )
            raise
        return True

    async def _keep(self, batch: Sequence[Item]) -> None:
        """Commit mails together with their ids, and then ask for their deletion, where that is wanted."""
        for item in batch:
            if not isinstance(item, FetchedMail):
                await self._left.leave(_name(self.listed[item.uid]), item)
        mails = [await self._told_apart(item) for item in batch if isinstance(item, FetchedMail)]
        wanted = [mail for mail in mails if mail is not None]
        async with transaction():
            stored = await spool.store_many([(source, raw) for _, source, raw in wanted])
            if stored and self.server.mail_account_id is not None:
                await get_model("Mail").note_arrivals(self.server.mail_account_id, stored.values())
            await self._left.forget(*(_name(one) for one, *_ in wanted))
            await self._remember("fetched", {one.uid: one.size_bytes for one, *_ in wanted if one.uid})
        self.fetched.stored += len(stored)
        self.fetched.known += len(wanted) - len(stored)
        if self._deletes:
            await self.session.delete([one.number for one, *_ in wanted])

    async def _told_apart(self, mail: FetchedMail) -> tuple[Listed, str, bytes] | None:
        """Return what is listed of a mail, its source and its bytes; None for one without an id, passed over."""
        one, digest = self.listed[mail.uid], await _digest(mail.raw)
        if not one.uid and f"sha256:{digest}" in self.known:
            return None
        return one, pop3_source(self.server, one.uid, digest), mail.raw

    async def _pass_over_once(self) -> None:
        """At the first visit remember the old mails that are not wanted."""
        place, _ = await get_model("MailFolder").get_or_create(server_id=self.server.id, name="")
        if place.first_uid:
            return
        old = await self._old()
        names = {one.uid: one.size_bytes for one in old if one.uid}
        limits = {"max_batch_bytes": spool.BATCH_BYTES, "max_batch_count": BATCH_COUNT}
        nameless = [one for one in old if not one.uid]
        async for batch in self.session.fetch_batches(nameless, max_mail_bytes=settings().MAX_MAIL_BYTES, **limits):
            for item in batch:
                if isinstance(item, FetchedMail):
                    names[f"sha256:{await _digest(item.raw)}"] = len(item.raw)
        async with transaction():
            await self._remember("passed", names)
            await get_model("MailFolder").filter(id=place.id).update(first_uid=1)

    async def _old(self) -> list[Listed]:
        """Return the mails that the record does not want; going back from the newest, until all are old."""
        first_day = oldest_day(self.server)
        if self.server.old_mail == "all" or (self.server.old_mail != "none" and first_day is None):
            return []
        old: list[Listed] = []
        in_a_row = 0
        mails = sorted(self.listed.values(), key=lambda one: one.number, reverse=True)
        for one in mails:
            if self.server.old_mail != "none" and in_a_row < _OLD_IN_A_ROW:
                received_on = _received_on(await self.session.header(one.number))
                if received_on is None or first_day is None or received_on >= first_day:
                    in_a_row = 0
                    continue
            in_a_row += 1
            old.append(one)
        return old

    def _is_new(self, one: Listed) -> bool:
        state = self._state_of(one)
        return state in ("", "suspect") or (not one.uid and state != "left")

    def _state_of(self, one: Listed) -> str:
        """Return what is remembered of a mail; nothing where its id once was another mail's."""
        state, size_bytes = self.known.get(_name(one), ("", 0))
        return state if size_bytes == one.size_bytes or state in ("left", "suspect") else ""

    async def _remember(self, state: str, sizes: dict[str, int]) -> None:
        rows, model = self._rows(), get_model("MailUid")
        await rows.filter(uid__in=list(sizes)).delete()
        values = {"server_id": self.server.id, "folder": "", "state": state}
        new = [model(uid=uid, size_bytes=size, **values) for uid, size in sizes.items()]
        await model.bulk_create(new, batch_size=500, ignore_conflicts=True)

    async def _forget(self, names: set[str]) -> None:
        """Forget mails that are no longer there; never those passed over, or a listing cut short brought them all."""
        ordered = sorted(names)
        for start in range(0, len(ordered), 500):
            await self._rows().filter(uid__in=ordered[start : start + 500]).exclude(state="passed").delete()

    def _rows(self) -> Any:
        return get_model("MailUid").filter(server_id=self.server.id, folder="")

    @property
    def _left(self) -> Leftovers:
        return Leftovers(self.server.id, "")

    @property
    def _deletes(self) -> bool:
        return bool(self.server.after_fetch == "delete")


def _name(one: Listed) -> str:
    """Return what a mail is remembered by; without an id of its own, by its place and size, which may not last."""
    return one.uid or f"#{one.number}:{one.size_bytes}"


async def _digest(raw: bytes) -> str:
    """Return the SHA-256 of a mail; in a thread where the loop would stand still for it."""
    if len(raw) > LARGE_BYTES:
        return (await asyncio.to_thread(sha256, raw)).hexdigest()
    return sha256(raw).hexdigest()


def _received_on(header: bytes) -> date | None:
    """Return the day on which a mail came in: of the topmost Received, or else its Date; None where unreadable."""
    unfolded = _FOLD.sub(b"", header[:64_000])
    for shape in (_RECEIVED, _DATE):
        if found := shape.search(unfolded):
            try:
                return parsedate_to_datetime(found[1].decode("ascii", "replace").strip()).date()
            except (ValueError, TypeError, IndexError, OverflowError):
                continue
    return None
