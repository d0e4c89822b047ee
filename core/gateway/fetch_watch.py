"""Waiting in mailboxes, so that what comes is fetched at once: one connection to each, held by one worker (RFC 2177).

The connection fetches, then waits in the first folder; the other folders are looked at now and then. A mailbox without
IDLE is asked on that connection every few seconds; POP3 and mailboxes that want no waiting are left to the cron job,
which passes by those that are waited in.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

import structlog

from core.errors import ConfigError, TransportError
from core.gateway import fetch_health, fetch_imap
from core.gateway.fetch_account import account_of
from core.gateway.fetch_health import WATCH_TOPIC, Fetched
from core.gateway.fetch_lease import Lease, Right, take
from core.gateway.intake import TOPIC
from core.orm.outage import database_errors, is_outage
from core.runtime import get_model, runtime, settings
from core.transport import imap
from core.transport.imap import ImapSession, Mailbox

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 300.0
"""How long is waited before all folders are looked at anyway."""
_STEADY_AFTER_S = 60
"""A connection that ends while waiting, after such a time, was ended as servers do, and is no failure."""
_BUSY_S = 0.5
_BARREN_S = 0.5
_LONGEST_BARREN_S = 30.0
"""A server that tells of mail which is not there is listened to more and more seldom."""
_VISITS_AT_ONCE = 16
_STAGGER_S = 2.0
_SETTINGS = (
    *("server", "port", "use_ssl", "tls", "verify_certificate", "username", "password", "oauth_id", "folders"),
    *("after_fetch", "move_to", "public_host_only", "mailbox_number"),
)


async def watch_mailboxes(stop: asyncio.Event) -> None:
    """Wait in every mailbox that wants it and that no other worker waits in, until `stop`."""
    watches: dict[int, _Watch] = {}
    gate = asyncio.Semaphore(_VISITS_AT_ONCE)
    try:
        while not stop.is_set():
            try:
                await _keep_up(watches, gate)
            except database_errors() as error:
                if not is_outage(error):
                    log.error("mailboxes to wait in cannot be read", exc_info=error)
            await runtime().bell.wait_until(stop, WATCH_TOPIC, settings().CRON_POLL_SECONDS)
    finally:
        await asyncio.gather(*(watch.end() for watch in watches.values()))


async def _keep_up(watches: dict[int, _Watch], gate: asyncio.Semaphore) -> None:
    """End the watches whose record changed, and begin those that are missing."""
    wanted = await _wanted()
    for server_id, watch in list(watches.items()):
        if watch.is_over or wanted.get(server_id) != watch.settings:
            await watches.pop(server_id).end()
    for server_id in wanted.keys() - watches.keys():
        watches[server_id] = _Watch(server_id, wanted[server_id], gate)


async def _wanted() -> dict[int, tuple[Any, ...]]:
    """Return the settings of the mailboxes to wait in, by id."""
    if settings().MAIL_MODE == "catch":
        return {}
    servers = get_model("IncomingMailServer").filter(active=True, instant=True, protocol="imap")
    return {row[0]: tuple(map(repr, row[1:])) for row in await servers.values_list("id", *_SETTINGS)}


class _Watch:
    """One mailbox that this worker waits in, or tries to."""

    def __init__(self, server_id: int, as_set: tuple[Any, ...], gate: asyncio.Semaphore):
        self.settings = as_set
        self._gate = gate
        self._server_id = server_id
        self._task = asyncio.create_task(self._run())

    @property
    def is_over(self) -> bool:
        return self._task.done()

    async def end(self) -> None:
        self._task.cancel()
        (ended,) = await asyncio.gather(self._task, return_exceptions=True)
        if isinstance(ended, database_errors()) and is_outage(ended):
            log.warning("waiting in a mailbox ended: the database is away", server_id=self._server_id)
        elif isinstance(ended, Exception):
            log.error("waiting in a mailbox ended", server_id=self._server_id, exc_info=ended)

    async def _run(self) -> None:
        lease = await take(self._server_id, Right.WATCH, only_if_due=True)
        if lease is None:
            return
        async with lease.kept():
            server = await get_model("IncomingMailServer").get(id=self._server_id)
            fetched = Fetched(server.name)
            stay = _Stay(server, lease, self._gate)
            try:
                async with imap.open_session(account_of(server)) as session:
                    await stay.keep(session)
            except (TransportError, ConfigError) as error:
                if stay.is_waiting and stay.lasted_s > _STEADY_AFTER_S:
                    log.info("the mail server ended a session", server=server.name, error=str(error))
                    await asyncio.sleep(random.uniform(0, _STAGGER_S))  # noqa: S311 - jitter
                    return
                fetched.fail(error)
                await server.refresh_from_db()
                await fetch_health.note(server, lease, fetched)


class _Stay:
    """One connection that fetches and waits in turn."""

    def __init__(self, server: Any, lease: Lease, gate: asyncio.Semaphore):
        self.is_waiting = False
        self._gate = gate
        self._stored = 0
        self._server = server
        self._lease = lease
        self._loop = asyncio.get_running_loop()
        self._begun_at = self._loop.time()

    @property
    def lasted_s(self) -> float:
        return self._loop.time() - self._begun_at

    async def keep(self, session: ImapSession) -> None:
        """Fetch what is there and what comes, for as long as the lease holds."""
        first, *others = self._server.folders
        folders, rest_s, has_news = [*others, first], _BARREN_S, False
        while self._lease.is_held:
            stored_before = self._stored
            mailbox = await self._visit(session, folders)
            if has_news and self._stored == stored_before:
                await asyncio.sleep(rest_s)
                rest_s = min(2 * rest_s, _LONGEST_BARREN_S)
            else:
                rest_s = _BARREN_S
            self.is_waiting = True
            has_news = await mailbox.wait_for_change(LOOK_EVERY_S)
            self.is_waiting = False
            # It is still open, so that the others need not be opened for it.
            folders = [first] if has_news else [*others, first]

    async def _visit(self, session: ImapSession, folders: list[str]) -> Mailbox:
        """Fetch until nothing is left, and return the folder to wait in."""
        while True:
            fetched, visit = Fetched(self._server.name), await self._turn()
            async with visit.kept(), self._gate:
                mailbox = await fetch_imap.visit(session, self._server, folders, visit, fetched)
                await fetch_health.note(self._server, visit, fetched)
            if fetched.stored:
                self._stored += fetched.stored
                await runtime().bell.ring(TOPIC)
            if not fetched.more:
                return mailbox

    async def _turn(self) -> Lease:
        """Wait until nobody else visits the mailbox, as a person may have asked for."""
        while True:
            if (lease := await take(self._server.id, Right.VISIT)) is not None:
                return lease
            await asyncio.sleep(_BUSY_S)
