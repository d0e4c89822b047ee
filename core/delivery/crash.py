"""Mail that kills its worker, such as one that takes all memory to compose: found out, and set aside after some deaths.

A worker that dies leaves a whole claim behind, of which one mail may be the cause. All of it is suspect from then on:
a suspect is composed alone and on record, so that the next death says which one it was (C9).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from core.delivery.job import Job
from core.delivery.results import roll_up
from core.runtime import get_model, runtime, settings

log = structlog.get_logger(__name__)


@asynccontextmanager
async def on_record(job: Job) -> AsyncIterator[None]:
    """Keep on record for the block that the job's mail is being composed."""
    database = runtime().database
    dialect = database.dialect
    params = [job.token, dialect.ids([delivery.id for delivery in job.deliveries])]
    ours = f"lease_token = {dialect.param(1)} AND {dialect.among('id', dialect.param(2))} AND state = 'claimed'"
    await database.execute(f"UPDATE delivery SET begun_at = {dialect.now()} WHERE {ours}", params)
    yield
    await database.execute(f"UPDATE delivery SET begun_at = NULL WHERE {ours}", params)


async def free_lapsed(lapsed: str) -> int:
    """Queue the claims of dead workers again, in the running transaction; return how many rows that touched.

    `lapsed` is the condition for a lease that is over. What QUARANTINE_AFTER workers died of is held, with the reason.
    """
    database = runtime().database
    param = database.dialect.param(1)
    rows = await database.fetch(
        f"""UPDATE delivery SET
                state = CASE WHEN begun_at IS NOT NULL AND crashes + 1 >= {param} THEN 'held' ELSE 'queued' END,
                crashes = CASE WHEN begun_at IS NOT NULL THEN crashes + 1 WHEN crashes = 0 THEN 1 ELSE crashes END,
                begun_at = NULL, lease_token = NULL, lease_until = NULL
            WHERE state = 'claimed' AND {lapsed}
            RETURNING message_id, state, crashes""",
        [settings().QUARANTINE_AFTER],
    )
    await _set_aside({row["message_id"]: row["crashes"] for row in rows if row["state"] == "held"})
    return len(rows)


async def _set_aside(deaths: dict[int, int]) -> None:
    if not deaths:
        return
    words = {
        message_id: f"Set aside: {count} workers died, the last ones while they composed this mail. "
        f"Look at its files and its template, then let it go with `postroom queue release {message_id}`."
        for message_id, count in deaths.items()
    }
    await roll_up(sorted(words), words)
    log.error("mail set aside", messages=sorted(words))
    numbers = ", ".join(map(str, sorted(words)))
    await get_model("Notification").tell_admins(
        "Mail was set aside", f"Workers died composing the messages {numbers}; they are held, and say why."
    )
