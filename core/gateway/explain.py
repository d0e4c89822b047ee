"""Where would this mail go: the very same rules, with nothing written; and trying again a mail that led to nothing."""

from __future__ import annotations

from hashlib import sha256

from core.errors import UnknownName, UserError
from core.gateway import spool
from core.gateway.account import account_of
from core.gateway.authenticity import authenticated
from core.gateway.decide import decide
from core.gateway.lookup import open_lookup
from core.gateway.receive import process, read_in_time
from core.gateway.spool import Spooled
from core.gateway.values import Account
from core.runtime import get_model


async def explain(raw: bytes, source: str | None = None) -> Account:
    """Return what would become of a mail that came now; nothing is written."""
    mail = Spooled(id=0, source=source or source_of(raw), tries=0, raw=raw)
    lookup = await open_lookup()
    (email,) = await authenticated(await read_in_time([mail], lookup), [mail])
    await lookup.prepare([email])
    verdict, trace = await decide(email, lookup)
    return account_of(verdict, email, trace, lookup)


async def replay(spool_id: int) -> Account:
    """Try a mail of the spool again that is unmatched, ignored or quarantined, and return what became of it.

    Raises UnknownName where there is none, UserError for one that became something already or still waits.
    """
    row = await get_model("InboundEmail").filter(id=spool_id).first().values("state", "outcome")
    if row is None:
        raise UnknownName(f"There is no mail {spool_id} in the spool.")
    if row["state"] == "processed":
        raise UserError(f"Mail {spool_id} became a {row['outcome']} already; trying it again would make a double.")
    if not await spool.reopen(spool_id) and row["state"] != "received":
        raise UserError(f"Mail {spool_id} has just been dealt with; look at it again.")
    accounts = await process([spool_id])
    if not accounts:
        raise UserError(f"Mail {spool_id} is being dealt with just now; look at it in a minute.")
    return accounts[0]


def source_of(raw: bytes) -> str:
    """Return the delivery identity of a mail that comes by hand."""
    return f"load:{sha256(raw).hexdigest()}"
