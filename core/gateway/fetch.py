"""From mailboxes into the spool: which are due, one visit to each, and what came of it.

A mail's delivery identity (`core.gateway.fetch_source`) makes what is fetched twice one row. A server that fails is
left alone for a growing time and hinders no other.
"""

from __future__ import annotations

import asyncio
from typing import Any

from core.errors import ConfigError, TransportError
from core.gateway import fetch_health, fetch_imap, fetch_pop3
from core.gateway.fetch_account import account_of
from core.gateway.fetch_health import Fetched
from core.gateway.fetch_lease import Lease, Right, take
from core.runtime import acting_user, get_model, settings
from core.transport import imap, pop3
from core.transport.imap import Folder, ImapAccount
from core.transport.peer import PeerPolicy
from core.transport.step import Step

__all__ = ["Fetched", "account_of", "check_server", "fetch_all", "fetch_server", "folders_of"]

_SERVERS_AT_ONCE = 8
_IN_CATCH_MODE = "MAIL_MODE is catch: no connection is opened."


async def fetch_all() -> list[Fetched]:
    """Visit every active server that is due and that nobody else is visiting, some at a time; never raises for one."""
    servers = get_model("IncomingMailServer")
    gate = asyncio.Semaphore(_SERVERS_AT_ONCE)

    async def visit(server_id: int) -> Fetched:
        async with gate:
            return await fetch_server(await servers.get(id=server_id), only_if_due=True)

    active = await servers.filter(active=True).order_by("id").values_list("id", flat=True)
    visits = await asyncio.gather(*(visit(server_id) for server_id in active), return_exceptions=True)
    # What is nobody's network or settings is a fault of ours; it is told when all the others are done.
    if fault := next((one for one in visits if isinstance(one, BaseException)), None):
        raise fault
    return [one for one in visits if isinstance(one, Fetched)]


async def fetch_server(server: Any, *, only_if_due: bool = False) -> Fetched:
    """Fetch what is new from one IncomingMailServer; its faults are told in the result and on the record."""
    fetched = Fetched(server.name)
    if settings().MAIL_MODE == "catch":
        fetched.skipped = _IN_CATCH_MODE
        return fetched
    lease = await take(server.id, Right.VISIT, only_if_due=only_if_due)
    if lease is None:
        fetched.skipped = "A worker is there already, or it is left alone for a while after a failure."
        return fetched
    async with lease.kept():
        try:
            await _visit(server, lease, fetched)
        except (TransportError, ConfigError) as error:
            fetched.fail(error)
        await fetch_health.note(server, lease, fetched)
    return fetched


async def check_server(server: Any) -> tuple[Step, ...]:
    """Try what fetching takes, short of fetching, and return each step; a failed one says what to do."""
    if settings().MAIL_MODE == "catch":
        hint = "Set MAIL_MODE: live to fetch mail."
        return (Step("mail mode", ok=False, detail=_IN_CATCH_MODE, duration_ms=0, hint=hint),)
    try:
        account = _asked_for(account_of(server))
    except ConfigError as error:
        return (Step("settings", ok=False, detail=str(error), duration_ms=0, hint="Correct this server's record."),)
    if isinstance(account, ImapAccount):
        return await imap.test_connection(account, *server.folders)
    return await pop3.test_connection(account)


async def folders_of(server: Any) -> tuple[Folder, ...]:
    """Ask a server for its folders and what each is for; POP3 has one. Raises TransportError and ConfigError."""
    if settings().MAIL_MODE == "catch":
        raise ConfigError(_IN_CATCH_MODE)
    account = _asked_for(account_of(server))
    if not isinstance(account, ImapAccount):
        return (Folder("INBOX"),)
    async with imap.open_session(account) as session:
        return await session.folders()


async def _visit(server: Any, lease: Lease, fetched: Fetched) -> None:
    account = account_of(server)
    if isinstance(account, ImapAccount):
        async with imap.open_session(account) as session:
            await fetch_imap.visit(session, server, server.folders, lease, fetched)
    else:
        async with pop3.open_session(account) as pop3_session:
            await fetch_pop3.visit(pop3_session, server, lease, fetched)


def _asked_for(account: Any) -> Any:
    """Return the account as the acting user may use it: only an administrator may look around inside the network."""
    user = acting_user()
    if user is None or user.is_admin:
        return account
    return account.reached_by(PeerPolicy.of(settings().PRIVATE_HOSTS_ALLOWED))
