"""Claiming deliveries: small, leased and fenced, by the database's clock.

A claim changes `queued` rows to `claimed` under a fresh token. Whoever dies leaves rows whose lease runs out; `sweep`
gives those back. Only a row marked `sending` may have been seen by a server.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from uuid import uuid4

from core.delivery.crash import free_lapsed
from core.delivery.job import Claimed
from core.delivery.results import NOT_SUSPENDED, Result, roll_up, tell_finished, write_results
from core.mail.retry import Outcome, Phase
from core.orm.transaction import transaction
from core.runtime import runtime

_CLAIMED = "id, message_id, recipient, attempts, kind, crashes > 0, priority"
"""A Claimed, column by column."""
_BY_URGENCY = attrgetter("priority", "id")
_LEASED = "lease_until IS NOT NULL"
"""Said where a lease is looked for by its token alone, so that an index over the few leased rows finds it."""
_LOST = "The worker was lost while the mail was on its way; nobody knows whether the server took it."


async def claim(limit: int, *, message_id: int | None = None, oldest_first: bool = False) -> tuple[str, list[Claimed]]:
    """Lease up to `limit` due deliveries, the most urgent first; of one message only, when it is named.

    With `oldest_first` those that have waited longest come first whatever their priority, so that none waits for ever.
    While the queue is suspended there are none. Returns the token of the claim and its rows, in the queue's order.
    """
    database = runtime().database
    dialect = database.dialect
    token = uuid4().hex
    lease_s = runtime().settings.LEASE_SECONDS
    params: list[object] = [token, limit]
    only = ""
    if message_id is not None:
        params.append(message_id)
        only = f"AND message_id = {dialect.param(3)}"
    order = "due_at, id" if oldest_first else "priority, due_at, id"
    rows = await database.fetch(
        f"""UPDATE delivery SET state = 'claimed', lease_token = {dialect.param(1)},
                                lease_until = {dialect.now(lease_s)}, begun_at = NULL
            WHERE id IN (SELECT id FROM delivery WHERE state = 'queued' AND due_at <= {dialect.now()} {only}
                         ORDER BY {order} LIMIT {dialect.param(2)} {dialect.skip_locked})
              AND {NOT_SUSPENDED}
            RETURNING {_CLAIMED}""",
        params,
    )
    return token, sorted((Claimed(*row.values()) for row in rows), key=_BY_URGENCY)


async def is_due() -> bool:
    """Whether a delivery waits that could be claimed now."""
    database = runtime().database
    is_due = f"state = 'queued' AND due_at <= {database.dialect.now()}"
    return bool(await database.fetch(f"SELECT 1 FROM delivery WHERE {is_due} AND {NOT_SUSPENDED} LIMIT 1"))


async def next_due_in_s() -> float | None:
    """Return in how many seconds a delivery falls due that waits for its time; None where none does."""
    database = runtime().database
    dialect = database.dialect
    rows = await database.fetch(
        f"""SELECT {dialect.seconds_until("due_at")} AS due_in_s FROM delivery
            WHERE state = 'queued' AND due_at > {dialect.now()} ORDER BY due_at, id LIMIT 1"""
    )
    return float(rows[0]["due_in_s"]) if rows else None


async def still_claimed(token: str) -> set[int]:
    """Return the ids that are claimed under the token and may still be sent; none once the queue is suspended."""
    database = runtime().database
    rows = await database.fetch(
        f"""SELECT id FROM delivery
            WHERE {_LEASED} AND lease_token = {database.dialect.param(1)} AND state = 'claimed' AND {NOT_SUSPENDED}""",
        [token],
    )
    return {row["id"] for row in rows}


async def extend(token: str) -> None:
    """Renew the lease of a claim; the heartbeat of whoever works on it."""
    database = runtime().database
    dialect = database.dialect
    await database.execute(
        f"""UPDATE delivery SET lease_until = {dialect.now(runtime().settings.LEASE_SECONDS)}
            WHERE {_LEASED} AND state IN ('claimed', 'sending') AND lease_token = {dialect.param(1)}""",
        [token],
    )


async def release(token: str, ids: Sequence[int], *, wait_s: float = 0) -> None:
    """Give back to the queue what was claimed, or marked and yet never sent; due in `wait_s` seconds."""
    if not ids:
        return
    database = runtime().database
    dialect = database.dialect
    params: list[object] = [token, dialect.ids(ids)]
    due = ""
    if wait_s > 0:
        params.append(wait_s)
        due = f", due_at = {dialect.after(dialect.param(3))}"
    released = await database.fetch(
        f"""UPDATE delivery SET state = 'queued', lease_token = NULL, lease_until = NULL {due}
            WHERE state IN ('claimed', 'sending') AND lease_token = {dialect.param(1)}
              AND {dialect.among("id", dialect.param(2))} RETURNING message_id, begun_at""",
        params,
    )
    if marked := {row["message_id"] for row in released if row["begun_at"]}:
        await roll_up(sorted(marked), {})


async def let_go(token: str) -> None:
    """Give back all of a claim of which nothing was begun; what was begun is told by its result, or by a sweep."""
    database = runtime().database
    await database.execute(
        f"""UPDATE delivery SET state = 'queued', lease_token = NULL, lease_until = NULL
            WHERE {_LEASED} AND state = 'claimed' AND lease_token = {database.dialect.param(1)}""",
        [token],
    )


async def sweep() -> int:
    """Give back what dead workers left, and record what they had begun as unknown; return how many rows.

    A lost claim is queued again at once. A lost `sending` row gets an attempt "unknown", and the message's policy
    decides (C4). A lease that ends later than any lease can was given before the database's clock was set back.
    """
    database = runtime().database
    dialect = database.dialect
    lapsed = f"(lease_until < {dialect.now()} OR lease_until > {dialect.now(2 * runtime().settings.LEASE_SECONDS)})"
    async with transaction():
        freed = await free_lapsed(lapsed)
        lost = await database.fetch(
            f"""SELECT lease_token, {_CLAIMED} FROM delivery
                WHERE state = 'sending' AND {lapsed} {dialect.skip_locked}"""
        )
        if lost:
            written = await write_results(
                [
                    Result(Claimed(*claimed), token, Outcome.UNKNOWN, Phase.CONTENT, reply=_LOST)
                    for token, *claimed in map(dict.values, lost)
                ],
                worker="sweep",
            )
            await tell_finished(written.finished)
    return freed + len(lost)
