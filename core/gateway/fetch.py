"""From a mailbox into the spool: fetch without touching, commit, and only then mark as seen (DELIVERY C8).

A mail's delivery identity is its server, folder, UIDVALIDITY and UID (RFC 9051, 2.3.1.1), so that what is fetched twice
is stored once. No transaction is open while the network is used. A server that fails is left alone for a growing time
and hinders no other. Nothing is deleted; a mail over MAX_MAIL_BYTES stays where it is and is told of.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from uuid import uuid4

import structlog

from core import clock
from core.errors import ConfigError, TransportError
from core.gateway import spool
from core.orm.fields import readable
from core.runtime import get_model, runtime, settings
from core.transport.imap import FetchedMail, ImapAccount, Mailbox, TooLarge, Unfetchable, open_mailbox, test_connection
from core.transport.step import Step
from core.transport.tls import Tls

log = structlog.get_logger(__name__)

MAILS_PER_VISIT = 1000
"""After so many of a folder the other folders and servers have their turn."""
_FIRST_PAUSE_S = 60
_LONGEST_PAUSE_S = 3600
_SERVERS_AT_ONCE = 4
_FOLDER_CHARS = 180


@dataclass(slots=True)
class Fetched:
    """What one visit to a server brought: mails stored, copies only marked, what had to stay there, what went wrong.

    `more` says that the visit ended before the mailbox did; `skipped` why there was no visit at all.
    """

    server: str
    stored: int = 0
    known: int = 0
    left_behind: list[str] = field(default_factory=list)
    error: str = ""
    more: bool = False
    skipped: str = ""


async def fetch_all() -> list[Fetched]:
    """Visit every active server that is due and that nobody else is visiting, a few at a time; never raises for one."""
    if settings().MAIL_MODE == "catch":
        return []
    servers = get_model("IncomingMailServer")
    gate = asyncio.Semaphore(_SERVERS_AT_ONCE)

    async def visit(server_id: int, name: str) -> Fetched:
        async with gate:
            try:
                server = await servers.get(id=server_id)
            except ConfigError as error:  # Its password is from another SECRET_KEY.
                return Fetched(name, error=str(error))
            return await fetch_server(server, only_if_due=True)

    active = await servers.filter(active=True).order_by("id").values_list("id", "name")
    visits = await asyncio.gather(*(visit(*server) for server in active), return_exceptions=True)
    # What is nobody's network or settings is a fault of ours; it is told when all the others are done.
    if fault := next((one for one in visits if isinstance(one, BaseException)), None):
        raise fault
    return [one for one in visits if isinstance(one, Fetched)]


async def fetch_server(server: Any, *, only_if_due: bool = False) -> Fetched:
    """Fetch what is unseen in the folders of one IncomingMailServer; its faults are told in the result and on it."""
    fetched = Fetched(server.name)
    if settings().MAIL_MODE == "catch":
        fetched.skipped = "MAIL_MODE is catch: no connection is opened."
        return fetched
    token = await _take(server.id, only_if_due=only_if_due)
    if token is None:
        fetched.skipped = "Another worker is there, or it is paused after a failure."
        return fetched
    try:
        account = account_of(server)
        for folder in server.folders:
            await _Visit(server.id, folder, token, fetched).fetch(account)
    except (TransportError, ConfigError) as error:
        fetched.error = str(error)
        log.warning("fetch failed", server=server.name, error=fetched.error)
    finally:
        await _leave(server.id, token, fetched, failures_before=server.failure_count)
    return fetched


async def check_server(server: Any) -> tuple[Step, ...]:
    """Try what fetching takes, short of fetching, and return each step; the last one tells of a failure."""
    if settings().MAIL_MODE == "catch":
        return (Step("mail mode", ok=False, detail="MAIL_MODE is catch: no connection is opened.", duration_ms=0),)
    try:
        account = account_of(server)
    except ConfigError as error:
        return (Step("account", ok=False, detail=str(error), duration_ms=0),)
    return await test_connection(account, next(iter(server.folders), "INBOX"))


def account_of(server: Any) -> ImapAccount:
    """Return the record's account; raises ConfigError for one that cannot be used."""
    tls = server.tls or (Tls.AUTO if server.use_ssl else Tls.NONE)
    return ImapAccount(
        host=server.server,
        port=server.port,
        tls=Tls(tls),
        username=server.username,
        password=readable(server.password, f"The password of {server.name}"),
        verify=server.verify_certificate,
    )


@dataclass(slots=True)
class _Visit:
    """One folder of one server, in one connection."""

    server_id: int
    folder: str
    token: str
    fetched: Fetched

    async def fetch(self, account: ImapAccount) -> None:
        async with open_mailbox(account, self.folder) as mailbox:
            uids = await mailbox.unseen_uids()
            await self._note_validity(mailbox.uid_validity)
            async for batch in self._batches(mailbox, uids):
                await self._keep(mailbox, batch)
                if not await _stay(self.server_id, self.token):
                    self.fetched.more = True
                    return

    async def _batches(self, mailbox: Mailbox, uids: Sequence[int]) -> AsyncIterator[list[FetchedMail]]:
        """Yield mails in lists of bounded bytes; note what cannot be fetched."""
        batch: list[FetchedMail] = []
        count = batch_bytes = 0
        limits = {"max_batch_bytes": spool.BATCH_BYTES, "max_batch_count": spool.BATCH_COUNT}
        async for item in mailbox.fetch(uids, max_mail_bytes=settings().MAX_MAIL_BYTES, **limits):
            if not isinstance(item, FetchedMail):
                self.fetched.left_behind.append(self._why_left(item))
                continue
            if batch and (len(batch) == spool.BATCH_COUNT or batch_bytes + len(item.raw) > spool.BATCH_BYTES):
                yield batch
                batch, batch_bytes = [], 0
            batch.append(item)
            batch_bytes += len(item.raw)
            count += 1
            if count == MAILS_PER_VISIT:
                self.fetched.more = True
                break
        if batch:
            yield batch

    async def _keep(self, mailbox: Mailbox, batch: Sequence[FetchedMail]) -> None:
        """Commit the mails, and then mark them as seen; one that was fetched before is only marked."""
        moved = await self._stored_before(mailbox.uid_validity, batch)
        new = [mail for mail in batch if mail.uid not in moved]
        stored = await spool.store_many([(self._source(mailbox.uid_validity, mail.uid), mail.raw) for mail in new])
        self.fetched.stored += len(stored)
        self.fetched.known += len(batch) - len(stored)
        await mailbox.mark_seen([mail.uid for mail in batch])

    async def _stored_before(self, uid_validity: int, batch: Sequence[FetchedMail]) -> set[int]:
        """Return the UIDs of mails that came from this folder before its UIDs were given anew."""
        digests = {sha256(mail.raw).hexdigest(): mail.uid for mail in batch}
        rows = get_model("InboundEmail").filter(sha256__in=list(digests))
        here = self._source(uid_validity, 0).rsplit(":", 2)
        moved = set()
        for source, digest in await rows.values_list("source", "sha256"):
            folder, *numbers = source.rsplit(":", 2)
            if folder == here[0] and numbers[:1] != here[1:2]:
                moved.add(digests[digest])
        return moved

    async def _note_validity(self, uid_validity: int) -> None:
        folders = get_model("MailFolder")
        folder, is_new = await folders.get_or_create(
            server_id=self.server_id, name=self.folder, defaults={"uid_validity": uid_validity}
        )
        if not is_new and folder.uid_validity not in (0, uid_validity):
            log.warning("the folder's UIDs were given anew", server_id=self.server_id, folder=self.folder)
        await folders.filter(id=folder.id).update(uid_validity=uid_validity, last_success_at=clock.now())

    def _source(self, uid_validity: int, uid: int) -> str:
        folder = self.folder
        if len(folder) > _FOLDER_CHARS:
            folder = sha256(folder.encode()).hexdigest()
        return f"imap:{self.server_id}:{folder}:{uid_validity}:{uid}"

    def _why_left(self, item: TooLarge | Unfetchable) -> str:
        if isinstance(item, TooLarge):
            why = f"{item.size_bytes} bytes are more than MAX_MAIL_BYTES ({settings().MAX_MAIL_BYTES})"
        else:
            why = f"the server does not hand it out: {item.server_text}"
        return f"{self.folder}, UID {item.uid} stays there unread: {why}."


async def _take(server_id: int, *, only_if_due: bool) -> str | None:
    """Take the lease of a server by compare-and-set; return its token, or None where somebody else has it."""
    database = runtime().database
    dialect = database.dialect
    token = uuid4().hex
    due = f"AND (next_fetch_at IS NULL OR next_fetch_at <= {dialect.now()})" if only_if_due else ""
    taken = await database.fetch(
        f"""UPDATE incoming_mail_server
            SET lease_token = {dialect.param(1)}, lease_until = {dialect.now(settings().LEASE_SECONDS)}
            WHERE id = {dialect.param(2)} AND (lease_until IS NULL OR lease_until < {dialect.now()}) {due}
            RETURNING id""",
        [token, server_id],
    )
    return token if taken else None


async def _stay(server_id: int, token: str) -> bool:
    """Renew the lease; whether it is still ours. If not, going on would do no harm, only double work."""
    database = runtime().database
    dialect = database.dialect
    kept = await database.fetch(
        f"""UPDATE incoming_mail_server SET lease_until = {dialect.now(settings().LEASE_SECONDS)}
            WHERE id = {dialect.param(2)} AND lease_token = {dialect.param(1)} RETURNING id""",
        [token, server_id],
    )
    return bool(kept)


async def _leave(server_id: int, token: str, fetched: Fetched, failures_before: int) -> None:
    """Give the lease back with the result: a failure pauses the server, longer each time."""
    database = runtime().database
    dialect = database.dialect
    told = (fetched.error or " ".join(fetched.left_behind))[:2000]
    if fetched.error:
        pause_s = min(_FIRST_PAUSE_S * 2 ** min(failures_before, 10), _LONGEST_PAUSE_S)
        outcome = f"failure_count = failure_count + 1, next_fetch_at = {dialect.now(pause_s)}"
    else:
        outcome = f"failure_count = 0, next_fetch_at = NULL, last_success_at = {dialect.now()}"
    await database.execute(
        f"""UPDATE incoming_mail_server
            SET lease_token = NULL, lease_until = NULL, last_error = {dialect.param(3)}, {outcome}
            WHERE id = {dialect.param(2)} AND lease_token = {dialect.param(1)}""",
        [token, server_id, told],
    )
