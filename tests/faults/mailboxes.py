"""What the fault tests of fetching share: a mailbox on a scripted server, visits to it, what became of its mails."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from core.gateway import fetch_account
from core.gateway.fetch import Fetched, fetch_server
from core.gateway.receive import process_pending
from core.runtime import get_model
from core.transport.imap import ImapAccount
from core.transport.pop3 import Pop3Account
from tests.servers.scripted_imap import ScriptedImap
from tests.servers.scripted_pop3 import ScriptedPop3

DESK = {
    "ADDONS": ["core", "desk"],
    "ADDONS_PATH": [str(Path(__file__).parents[1] / "gateway" / "addons")],
    "MAIL_DOMAIN": "our.test",
    "MAIL_MODE": "live",
    "LEASE_SECONDS": 2,
    "CRON_POLL_SECONDS": 0.2,
}


async def mailbox_on(server: ScriptedImap | ScriptedPop3, **values: Any) -> Any:
    """Make a record for a scripted server's mailbox, and a route that makes a record of each of its mails."""
    protocol = "pop3" if isinstance(server, ScriptedPop3) else "imap"
    if not await get_model("EmailRoute").all().exists():
        await get_model("EmailRoute").create(address="leads", target_model="Ticket")
    where = {"server": "127.0.0.1", "port": server.port, "use_ssl": False, "username": "user", "password": "secret"}
    settings = {"name": "scripted", "protocol": protocol, "old_mail": "all", **where, **values}
    return await get_model("IncomingMailServer").create(**settings)


async def visit(mailbox: Any) -> Fetched:
    """Fetch once and deal with what came; a dead worker's lease has run out by then."""
    await get_model("IncomingMailServer").all().update(lease_until=None, watch_until=None)
    await mailbox.refresh_from_db()
    fetched = await fetch_server(mailbox)
    await process_pending()
    return fetched


async def records() -> list[str]:
    """Return the names of the records that mails became, which doubles would show up in."""
    return sorted(await get_model("Ticket").all().values_list("name", flat=True))


def be_hasty(patch: pytest.MonkeyPatch, timeout_s: float = 0.3) -> None:
    """Give servers up after fractions of a second rather than a minute."""
    patch.setattr(fetch_account, "ImapAccount", partial(ImapAccount, timeout_s=timeout_s))
    patch.setattr(fetch_account, "Pop3Account", partial(Pop3Account, timeout_s=timeout_s))
