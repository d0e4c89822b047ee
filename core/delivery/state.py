"""What a person or a program does to a message's deliveries, outside of the engine's own flow."""

from __future__ import annotations

from collections.abc import Sequence

from core import clock
from core.delivery.engine import TOPIC
from core.delivery.job import Claimed
from core.delivery.results import Result, roll_up, tell_finished, write_results
from core.errors import UserError
from core.events import announce, ring
from core.mail.retry import Outcome
from core.orm.feed import Change
from core.orm.transaction import transaction
from core.runtime import get_model, runtime

_AGAIN = ("failed", "unknown", "cancelled", "held")


async def make_due(message_id: int, *, wake: bool = False) -> None:
    """Make the waiting deliveries of a message due at once, and wake the workers if they are to send it.

    What a worker has in hand is left to it. UserError where nothing is left to send, unless all of it was sent.
    """
    database = runtime().database
    dialect = database.dialect
    async with transaction():
        moved = await database.execute(
            f"""UPDATE delivery SET state = 'queued', due_at = {dialect.now()}
                WHERE message_id = {dialect.param(1)} AND state IN ('queued', 'held')""",
            [message_id],
        )
        if not moved and not await _goes_well(message_id):
            raise UserError(f"Message {message_id} has no recipient that waits; use action_retry to send it again.")
        await roll_up([message_id], {})
        if wake:
            await ring(TOPIC)


async def is_in_hand(message_id: int) -> bool:
    """Whether a worker has some of the message's deliveries, its lease not yet over."""
    database = runtime().database
    dialect = database.dialect
    rows = await database.fetch(
        f"""SELECT 1 FROM delivery WHERE message_id = {dialect.param(1)} AND state IN ('claimed', 'sending')
                                     AND lease_until > {dialect.now()} LIMIT 1""",
        [message_id],
    )
    return bool(rows)


async def _goes_well(message_id: int) -> bool:
    """Whether workers have what is left of a message, or sent all of it."""
    deliveries = get_model("Delivery").filter(message_id=message_id).distinct()
    states = set(await deliveries.values_list("state", flat=True))
    return bool(states & {"claimed", "sending"}) or states == {"sent"}


async def requeue(message_id: int) -> None:
    """Queue what failed, came back, is in doubt or was stopped, with all its retries; what waits becomes due."""
    database = runtime().database
    dialect = database.dialect
    states = ", ".join(f"'{state}'" for state in _AGAIN)
    async with transaction():
        moved = await database.execute(
            f"""UPDATE delivery SET state = 'queued', attempts = 0, due_at = {dialect.now()}, begun_at = NULL,
                                    bounced_at = NULL, bounce_kind = ''
                WHERE message_id = {dialect.param(1)}
                  AND (state IN ('queued', {states}) OR state = 'sent' AND bounced_at IS NOT NULL)""",
            [message_id],
        )
        if not moved:
            raise UserError(f"Message {message_id} has no recipient that could be tried again.")
        # Its life begins anew, so that RETRY_LIFETIME_HOURS leaves it its retries.
        await get_model("Message").filter(id=message_id).update(bounced_at=None, scheduled_at=clock.now())
        await roll_up([message_id], {message_id: ""})
        await ring(TOPIC)


async def move_waiting(message_ids: Sequence[int], from_states: Sequence[str], to_state: str) -> int:
    """Move deliveries that no worker has from some states to another; return how many."""
    database = runtime().database
    dialect = database.dialect
    states = ", ".join(f"'{state}'" for state in from_states)
    async with transaction():
        moved = await database.fetch(
            f"""UPDATE delivery SET state = {dialect.param(2)}, lease_token = NULL, lease_until = NULL
                WHERE {dialect.among("message_id", dialect.param(1))} AND state IN ({states}) RETURNING message_id""",
            [dialect.ids(message_ids), to_state],
        )
        if moved:
            # The others are in the hands of workers, which would wait for us, and we for them.
            await roll_up(sorted({row["message_id"] for row in moved}), {})
            await ring(TOPIC)
    return len(moved)


async def take_back(message_id: int) -> None:
    """Make a message that was queued, and of which nothing was tried, a draft without recipients again."""
    database = runtime().database
    param = database.dialect.param(1)
    async with transaction():
        untried = """state IN ('queued', 'claimed', 'held')
                     AND NOT EXISTS (SELECT 1 FROM attempt WHERE attempt.delivery_id = delivery.id)"""
        stopped = await database.execute(
            f"UPDATE delivery SET state = 'cancelled' WHERE message_id = {param} AND {untried}", [message_id]
        )
        others = await database.fetch(
            f"SELECT 1 FROM delivery WHERE message_id = {param} AND (state <> 'cancelled' OR attempts > 0)",
            [message_id],
        )
        if not stopped or others:
            raise UserError(f"Message {message_id} is on its way already, so it cannot be taken back.")
        await database.execute(f"DELETE FROM delivery WHERE message_id = {param}", [message_id])
        await get_model("Message").filter(id=message_id).update(send_state="Draft", error="")
        message = await get_model("Message").get(id=message_id)
        await announce(Change("queue", ("Draft",), company_id=message.company_id))
        if message.res_id is not None:
            await announce(Change.of_timeline(message.res_model, message.res_id, message_id, "Draft"))


async def fail_once(message_id: int, error: str) -> None:
    """Count one temporary failure of each recipient that waits, as if a server had refused it for now."""
    database = runtime().database
    dialect = database.dialect
    async with transaction():
        rows = await database.fetch(
            f"""UPDATE delivery SET state = 'claimed', lease_token = 'failed by hand'
                WHERE message_id = {dialect.param(1)} AND state = 'queued'
                RETURNING id, message_id, recipient, attempts, kind""",
            [message_id],
        )
        if not rows:
            raise UserError(f"Message {message_id} has no recipient that waits, so nothing can fail.")
        written = await write_results(
            [Result(Claimed(**row), "failed by hand", Outcome.TEMPORARY, "compose", reply=error) for row in rows],
            worker="",
        )
        await tell_finished(written.finished)


async def queue_stats() -> dict[str, int]:
    """Return the number of outbound messages by state, each known state among them."""
    model = get_model("Message")
    database = runtime().database
    rows = await database.fetch(
        "SELECT send_state, COUNT(*) AS n FROM message WHERE direction = 'Outbound' GROUP BY send_state"
    )
    counts = {row["send_state"]: int(row["n"]) for row in rows}
    return {state: counts.get(state, 0) for state in model._meta.fields_map["send_state"].choices}
