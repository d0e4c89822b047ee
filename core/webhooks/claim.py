"""Claiming calls: leased, fenced, by the database's clock, a few of each webhook at a time.

A try is counted when it is claimed, so one that kills its worker counts too. A lease that runs out gives the call back
at once: whoever receives knows it again by its id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from core.runtime import runtime
from core.webhooks.retry import MOST_ATTEMPTS

LEASE_S = 60.0
"""Longer than any try takes."""
_OF_EACH = 4


@dataclass(frozen=True, slots=True)
class Call:
    """A call that is this worker's to make, under `token`."""

    id: int
    webhook_id: int
    event_id: str
    payload: str
    attempts: int
    token: str


async def claim(limit: int) -> list[Call]:
    """Lease up to so many due calls of active webhooks that are not paused, those that wait longest first."""
    database = runtime().database
    dialect = database.dialect
    token = uuid4().hex
    rows = await database.fetch(
        f"""UPDATE webhook_call SET state = 'sending', attempts = attempts + 1, lease_token = {dialect.param(1)},
                                    lease_until = {dialect.now(LEASE_S)}
            WHERE id IN (SELECT id FROM webhook_call WHERE state = 'queued' AND id IN ({_next_of_each()})
                         ORDER BY due_at, id LIMIT {dialect.param(2)} {dialect.skip_locked})
            RETURNING id, webhook_id, event_id, payload, attempts""",
        [token, limit],
    )
    return [_call(row, token) for row in sorted(rows, key=lambda row: int(row["id"]))]


async def sweep() -> int:
    """Give back what dead workers left, but that what had all of its tries has failed; return how many calls."""
    database = runtime().database
    now = database.dialect.now()
    return await database.execute(
        f"""UPDATE webhook_call SET state = CASE WHEN attempts < {MOST_ATTEMPTS} THEN 'queued' ELSE 'failed' END,
                                    lease_token = NULL, lease_until = NULL
            WHERE state = 'sending' AND (lease_until < {now} OR lease_until > {database.dialect.now(2 * LEASE_S)})"""
    )


async def settle(call: Call, state: str, wait_s: float, told: Mapping[str, Any]) -> bool:
    """Write how a try ended, due again in `wait_s` seconds where it is queued; False where the lease was lost.

    `told` are further columns with their values.
    """
    database = runtime().database
    dialect = database.dialect
    values = [call.id, call.token, state, wait_s, *told.values()]
    more = "".join(f", {name} = {dialect.param(at)}" for at, name in enumerate(told, 5))
    delivered = f", delivered_at = {dialect.now()}" if state == "delivered" else ""
    touched = await database.execute(
        f"""UPDATE webhook_call SET state = {dialect.param(3)}, lease_token = NULL, lease_until = NULL,
                                    due_at = {dialect.after(dialect.param(4))}{delivered}{more}
            WHERE id = {dialect.param(1)} AND lease_token = {dialect.param(2)} AND state = 'sending'""",
        values,
    )
    return touched == 1


async def release(calls: Sequence[Call]) -> None:
    """Give calls back whose try was broken off here; they may have arrived."""
    for call in calls:
        await settle(call, "queued", 0.0, {})


async def due_in_s(most_s: float) -> float:
    """Return how long no call falls due, at most `most_s`."""
    database = runtime().database
    dialect = database.dialect
    rows = await database.fetch(
        f"""SELECT {dialect.seconds_until("due_at")} AS due_s, {dialect.seconds_until("paused_until")} AS p
            FROM (SELECT paused_until, (SELECT MIN(due_at) FROM webhook_call
                                        WHERE webhook_id = webhook.id AND state = 'queued') AS due_at
                  FROM webhook WHERE active) AS following
            WHERE due_at IS NOT NULL"""
    )
    return min(most_s, *(max(row["due_s"], row["p"] or 0.0, 0.0) for row in rows)) if rows else most_s


def _next_of_each() -> str:
    """Return the query of the ids that may be claimed: a slow webhook takes no more than a few places at a time, and
    one that failed last time a single one.

    Of each webhook only the first few are looked at, however many wait.
    """
    dialect = runtime().database.dialect
    first = f"""(SELECT id, due_at FROM webhook_call
                 WHERE webhook_id = webhook.id AND state = 'queued' AND due_at <= {dialect.now()}
                 ORDER BY due_at LIMIT {_OF_EACH})"""
    if dialect.name == "postgres":
        joined, is_first = f"LATERAL {first}", "TRUE"
    else:
        joined, is_first = "webhook_call", f"call.id IN (SELECT id FROM {first})"
    return f"""SELECT id FROM (
            SELECT call.id, row_number() OVER (PARTITION BY webhook.id ORDER BY call.due_at, call.id) AS place,
                   CASE WHEN webhook.failure_count > 0 THEN 1 ELSE {_OF_EACH} END AS most,
                   (SELECT COUNT(*) FROM webhook_call WHERE webhook_id = webhook.id AND state = 'sending') AS busy
            FROM webhook CROSS JOIN {joined} AS call
            WHERE {is_first} AND webhook.active
              AND (webhook.paused_until IS NULL OR webhook.paused_until <= {dialect.now()})
        ) AS waiting
        WHERE place <= most - busy"""


def _call(row: Mapping[str, Any], token: str) -> Call:
    return Call(row["id"], row["webhook_id"], row["event_id"], row["payload"], row["attempts"], token)
