"""Trying mails of the spool again, after something was mended. What became something is never doubled unasked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from core.errors import UnknownName, UserError
from core.gateway import spool
from core.gateway.receive import process
from core.gateway.values import Account
from core.runtime import get_model

_AT_ONCE = 50


async def replay(spool_id: int, *, again: bool = False) -> Account:
    """Put a mail through the rules again that is unmatched, set aside or discarded; return what became of it.

    With `again`, also one that became something: it is dealt with as a new row, which says whose repetition it is, and
    what it led to before stays. Raises UnknownName where there is none, UserError where it must not be tried.
    """
    row = await get_model("InboundEmail").filter(id=spool_id).first().values("state", "outcome", "source")
    if row is None:
        raise UnknownName(f"There is no mail {spool_id} in the spool; see `postroom inbound ls`.")
    if row["state"] == "processed" and again:
        return await _once_more(spool_id, row["source"])
    if row["state"] == "processed":
        raise UserError(
            f"Mail {spool_id} became a {row['outcome']} already; trying it again would make a double. "
            "If that is meant, repeat it (`postroom inbound replay ID --again`)."
        )
    if not await spool.reopen(spool_id) and row["state"] != "received":
        raise UserError(f"Mail {spool_id} has just been dealt with; look at it again.")
    return await _processed(spool_id)


async def replay_all(states: Sequence[str]) -> AsyncIterator[tuple[int, Account]]:
    """Put every mail of these states through the rules again, the oldest first, and yield each with its id."""
    waiting = get_model("InboundEmail").filter(state__in=list(states))
    after, last = 0, (await waiting.order_by("-id").limit(1).values_list("id", flat=True) or [0])[0]
    while True:
        batch = waiting.filter(id__gt=after, id__lte=last).order_by("id").limit(_AT_ONCE)
        ids: list[int] = await batch.values_list("id", flat=True)
        if not ids:
            return
        after = ids[-1]
        # One by one, so that each is told of as soon as it is done.
        for spool_id in await spool.reopen_all(ids):
            for account in await process([spool_id]):
                yield spool_id, account


async def _once_more(spool_id: int, source: str) -> Account:
    new_id = await spool.store(await spool.raw_of(spool_id), spool.source_again(spool_id, source))
    if new_id is None:
        raise UserError(f"Mail {spool_id} is being dealt with just now; look at it in a minute.")
    return await _processed(new_id)


async def _processed(spool_id: int) -> Account:
    accounts = await process([spool_id])
    if not accounts:
        raise UserError(f"Mail {spool_id} is being dealt with just now; look at it in a minute.")
    return accounts[0]
