"""Writing what became of deliveries: states, attempts and the message's roll-ups, in one transaction per batch.

Every write is fenced by the claim's token. A server's late acceptance of a delivery whose lease was lost is still
recorded, and stops the retry if none has begun (C5).
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import structlog

from core import clock
from core.delivery.job import Claimed, Job
from core.delivery.policy import retry_schedule
from core.delivery.story import tell_failure
from core.events import announce, is_heard, note, tell_addons
from core.mail.address import normalised
from core.mail.blind import BLIND, unnamed
from core.mail.retry import LINEAR, Outcome, RetrySchedule, next_try_after
from core.orm.feed import Change
from core.orm.transaction import transaction
from core.orm.writes import Writes
from core.runtime import get_model, runtime

log = structlog.get_logger(__name__)

NOT_SUSPENDED = "NOT EXISTS (SELECT 1 FROM queue_suspension)"
_EPOCH = datetime.fromtimestamp(0, UTC)
_FAULT_WAIT_S = 30.0
"""How long a mail steps aside after its server failed under it, so that the next one is tried meanwhile."""


class Result(NamedTuple):
    """How one try of one delivery ended."""

    delivery: Claimed
    token: str
    outcome: Outcome
    phase: str
    """A Phase, or `compose` where the mail never came as far as a server."""
    code: int | None = None
    enhanced: str | None = None
    reply: str = ""
    """What was said, in one text."""
    server: str = ""
    tls: str = ""
    duration_ms: int = 0
    remote_id: str = ""
    """What the other side calls the delivery, where it gives it a name."""


class _Next(NamedTuple):
    """What follows a result: the delivery's next state, and when it is due again."""

    state: str
    attempts: int
    wait: timedelta | None = None


class _Policy(NamedTuple):
    """What follows a failure of one message; `age` is the time since it was queued, or due."""

    schedule: RetrySchedule = LINEAR
    on_unknown: str = "retry"
    age: timedelta = timedelta(0)


_NO_FAILURE = _Policy()


@dataclass(frozen=True, slots=True)
class Written:
    """What a batch came to: the deliveries that are marked, since their lease is still ours, and the messages that
    are finished, each with its final state (Sent or Failed), for `tell_finished`.
    """

    marked: frozenset[int]
    finished: tuple[tuple[int, str], ...]


async def write_results(
    results: Sequence[Result], *, worker: str, begun: Sequence[Job] = (), lasting: Collection[int] = ()
) -> Written:
    """Store the results of some tries, and mark the jobs `begun` before any of their content leaves (C4).

    The messages of the results and the `lasting` ones are rolled up. All of it is one batch, in the running
    transaction or in one of its own.
    """
    database = runtime().database
    writes = Writes(database.dialect)
    if results:
        _move(writes, results, await _policies(results))
        _note(writes, results, worker)
    for number, (token, deliveries) in enumerate(_by_token(begun).items()):
        _mark(writes, number, token, deliveries)
    touched = {result.delivery.message_id for result in results}.union(lasting)
    if touched:
        _roll_up(writes, sorted(touched), _errors(results), moved=bool(results))
    if await is_heard(*_EVENTS.values()):
        async with transaction():
            told = await writes.run(database)
            await note_finished(_finished(told))
    else:
        told = await writes.run(database)
    await announce(*_changes(told))
    return Written(frozenset(row["id"] for row in told if row["state"] == "sending"), _finished(told))


def _finished(told: Iterable[Mapping[str, Any]]) -> tuple[tuple[int, str], ...]:
    return tuple((row["id"], row["state"]) for row in told if row["state"] in _FINAL and not row["next_retry_at"])


async def note_finished(finished: Iterable[tuple[int, str]]) -> None:
    """Write down, in the running transaction, which webhooks are to be told of messages that are finished."""
    states = dict(finished)
    if states and await is_heard(*_EVENTS.values()):
        for message in await get_model("Message").filter(id__in=list(states)):
            await note(_EVENTS[states[message.pk]], message=message, error=message.error)


async def tell_finished(finished: Iterable[tuple[int, str]]) -> None:
    """Tell people of messages that failed, and addons of all that are finished; loads the sent ones only for these."""
    hooks = runtime().hooks
    by_state: dict[str, list[int]] = defaultdict(list)
    for message_id, state in finished:
        by_state[state].append(message_id)
    for state, event in _EVENTS.items():
        if not by_state[state] or (state == "Sent" and not hooks.users_of(event)):
            continue
        for message in await get_model("Message").filter(id__in=by_state[state]):
            if state == "Failed":
                await tell_failure(message)
            values = {"message": message} if state == "Sent" else {"message": message, "error": message.error}
            await tell_addons(event, **values)


def unsendable(job: Job, outcome: Outcome, words: str) -> list[Result]:
    """Return the results of a job that never came as far as a server."""
    return [Result(delivery, job.token, outcome, "compose", reply=words) for delivery in job.deliveries]


def drop(job: Job, delivery: Claimed, words: str) -> Result:
    """Return the result of a delivery that is not sent, on purpose."""
    return Result(delivery, job.token, Outcome.DROPPED, "drop", reply=words)


async def still_there(results: Sequence[Result]) -> list[Result]:
    """Return the results whose delivery was not deleted while its mail was on its way."""
    database = runtime().database
    ids = database.dialect.ids([result.delivery.id for result in results])
    among = database.dialect.among("id", database.dialect.param(1))
    known = {row["id"] for row in await database.fetch(f"SELECT id FROM delivery WHERE {among}", [ids])}
    return [result for result in results if result.delivery.id in known]


async def roll_up(message_ids: Sequence[int], errors: Mapping[int, str]) -> None:
    """Make the messages' sending columns say what their deliveries say; `errors` are new words, by message."""
    database = runtime().database
    writes = Writes(database.dialect)
    _roll_up(writes, message_ids, errors)
    await announce(*_changes(await writes.run(database)))


def _changes(told: Iterable[Mapping[str, Any]]) -> Iterator[Change]:
    """Yield what those who watch are told of messages that were rolled up."""
    rolled_up = [row for row in told if row.get("is_rolled_up")]
    for state, company_id in {(row["state"], row["company_id"]) for row in rolled_up}:
        yield Change("queue", (state,), company_id=company_id)
    for row in rolled_up:
        if row["res_id"] is not None:
            yield Change.of_timeline(row["res_model"], row["res_id"], row["id"], row["state"])


def _roll_up(writes: Writes, message_ids: Sequence[int], errors: Mapping[int, str], *, moved: bool = False) -> None:
    """Add the roll-up; it tells what the messages now are."""
    dialect = writes.dialect
    among = dialect.among("message_id", writes.param(dialect.ids(message_ids)))
    deliveries = f"(SELECT * FROM delivery WHERE {among}) AS one"
    if moved and dialect.nests_writes:
        as_moved = "SELECT message_id, state, attempts, due_at FROM"
        deliveries = f"""({as_moved} delivery WHERE {among} AND id NOT IN (SELECT id FROM moved)
                          UNION ALL {as_moved} moved) AS one"""
    words = "message.error"
    if errors:
        told = " ".join(f"WHEN {writes.param(key)} THEN {writes.param(error)}" for key, error in errors.items())
        words = f"CASE message.id {told} ELSE message.error END"
    writes.add(
        "rolled_up",
        f"""UPDATE message SET send_state = totals.state, retry_count = totals.attempts,
                               next_retry_at = totals.next_retry_at,
                               sent_at = CASE WHEN totals.state = 'Sent' THEN {dialect.now()} ELSE sent_at END,
                               error = CASE WHEN totals.state = 'Sent' THEN '' ELSE {words} END
            FROM (SELECT {_TOTALS} FROM {deliveries} GROUP BY message_id) AS totals
            WHERE message.id = totals.message_id AND NOT (message.send_state = 'Sent' AND totals.state = 'Sent')
            RETURNING message.id, message.send_state AS state, message.next_retry_at, message.res_model,
                      message.res_id, message.company_id, TRUE AS is_rolled_up""",
        tells="id, state, next_retry_at, res_model, res_id, company_id, is_rolled_up",
    )


def _by_token(jobs: Sequence[Job]) -> dict[str, list[Claimed]]:
    by_token: dict[str, list[Claimed]] = defaultdict(list)
    for job in jobs:
        by_token[job.token] += job.deliveries
    return by_token


def _mark(writes: Writes, number: int, token: str, deliveries: Sequence[Claimed]) -> None:
    """Add what marks the deliveries that nobody took or stopped and that may yet be mailed; it tells their ids."""
    dialect = writes.dialect
    # What no database lowers as an address is lowered: it stops the marks beside it too, and these come again.
    odd = sorted({normalised(one.recipient) for one in deliveries if not one.recipient.isascii()})
    addresses = ", ".join(["lower(delivery.recipient)", *map(writes.param, odd)])
    ours = dialect.among("id", writes.param(dialect.ids([one.id for one in deliveries])))
    suppressed = f"""EXISTS (
        SELECT 1 FROM suppression AS s
        WHERE s.address IN ({addresses}) AND (s.expires_at IS NULL OR s.expires_at > {dialect.now()})
          AND (s.list = '' OR s.list IN (SELECT m.unsubscribe_list FROM message AS m WHERE m.id = delivery.message_id)
               OR s.list = '*' AND EXISTS (SELECT 1 FROM message AS m WHERE m.id = delivery.message_id
                                           AND m.channel = 'email' AND m.unsubscribe_list IS NOT NULL)))"""
    expired = f"""EXISTS (SELECT 1 FROM message AS m
                          WHERE m.id = delivery.message_id AND m.expires_at <= {dialect.now()})"""
    writes.add(
        f"marked_{number}",
        f"""UPDATE delivery SET state = 'sending', begun_at = {dialect.now()}
            WHERE {ours} AND lease_token = {writes.param(token)} AND state = 'claimed'
              AND {NOT_SUSPENDED} AND NOT {expired} AND NOT {suppressed}
            RETURNING id, state""",
        tells="id, state, NULL::timestamptz AS next_retry_at, NULL AS res_model, NULL::bigint AS res_id, "
        "NULL::bigint AS company_id, FALSE AS is_rolled_up",
    )


_EVENTS = {"Sent": "message_sent", "Failed": "message_failed"}
"""What is told of a message that has come to its end, by its state."""
_FINAL = tuple(_EVENTS)
_TOTALS = """
    message_id, MAX(attempts) AS attempts,
    MIN(CASE WHEN state = 'queued' AND attempts > 0 THEN due_at END) AS next_retry_at,
    CASE MIN(CASE state WHEN 'sent' THEN 7 WHEN 'sending' THEN 1 WHEN 'held' THEN 4 WHEN 'unknown' THEN 5
                        WHEN 'failed' THEN 6 WHEN 'cancelled' THEN 8 ELSE CASE WHEN attempts > 0 THEN 2 ELSE 3 END END)
         WHEN 7 THEN 'Sent' WHEN 1 THEN 'Sending' WHEN 2 THEN 'Failed' WHEN 3 THEN 'Queued' WHEN 4 THEN 'Held'
         WHEN 5 THEN 'Unknown' WHEN 6 THEN 'Failed' ELSE 'Cancelled' END AS state"""
"""A message is as far as its least settled delivery; one that is queued or claimed once more has failed for now."""


def _following(result: Result, policy: _Policy) -> _Next:
    attempts = result.delivery.attempts
    match result.outcome:
        case Outcome.SENT:
            return _Next("sent", attempts)
        case Outcome.DROPPED:
            return _Next("cancelled", attempts)
        case Outcome.PERMANENT:
            return _Next("failed", attempts)
        case Outcome.SERVER:
            return _Next("queued", attempts, timedelta(seconds=_FAULT_WAIT_S))
        case Outcome.UNKNOWN if policy.on_unknown == "hold":
            return _Next("unknown", attempts)
        case _:
            chance = random.random()  # noqa: S311 - jitter
            wait = next_try_after(attempts + 1, policy.schedule, age=policy.age, chance=chance)
            ended = "unknown" if result.outcome is Outcome.UNKNOWN else "failed"
            return _Next("queued" if wait else ended, attempts + 1, wait)


async def _policies(results: Sequence[Result]) -> dict[int, _Policy]:
    """Return what follows a failure, by message; no query when all were sent."""
    troubled = {result.delivery.message_id for result in results if result.outcome is not Outcome.SENT}
    if not troubled:
        return {}
    columns = ("id", "max_retries", "on_unknown", "priority", "date_at", "scheduled_at")
    rows = await get_model("Message").filter(id__in=sorted(troubled)).values(*columns)
    return {row["id"]: _policy(row) for row in rows}


def _policy(row: Mapping[str, Any]) -> _Policy:
    queued_at = max(at for at in (row["date_at"], row["scheduled_at"], _EPOCH) if at is not None)
    return _Policy(
        schedule=retry_schedule(row["priority"], row["max_retries"]),
        on_unknown=row["on_unknown"] or runtime().settings.ON_UNKNOWN,
        age=max(clock.now() - queued_at, timedelta(0)) if queued_at > _EPOCH else timedelta(0),
    )


def _move(writes: Writes, results: Sequence[Result], policies: Mapping[int, _Policy]) -> None:
    """Add what moves the deliveries to their next states, one part for all that go the same way."""
    groups: dict[tuple[str, _Next, str], list[int]] = defaultdict(list)
    for result in results:
        following = _following(result, policies.get(result.delivery.message_id, _NO_FAILURE))
        groups[result.token, following, result.remote_id].append(result.delivery.id)
    for number, ((token, following, remote_id), ids) in enumerate(groups.items()):
        _move_alike(writes, f"moved_{number}", token, ids, following, remote_id)
    if writes.dialect.nests_writes:
        writes.add("moved", " UNION ALL ".join(f"SELECT * FROM moved_{number}" for number in range(len(groups))))


def _move_alike(writes: Writes, name: str, token: str, ids: list[int], following: _Next, remote_id: str) -> None:
    dialect, param = writes.dialect, writes.param
    changes = f"state = {param(following.state)}, attempts = {param(following.attempts)}"
    if following.wait is not None:
        changes += f", due_at = {dialect.after(param(following.wait.total_seconds()))}"
    if remote_id:
        # Its receipts find the delivery by the name that the other side gave it.
        changes += f", remote_id = {param(remote_id)}"
    late = "OR state IN ('queued', 'claimed', 'unknown')" if following.state == "sent" else ""
    moved = "RETURNING id, message_id, state, attempts, due_at" if dialect.nests_writes else ""
    writes.add(
        name,
        f"""UPDATE delivery SET {changes}, lease_token = NULL, lease_until = NULL
            WHERE {dialect.among("id", param(dialect.ids(ids)))}
              AND ((state IN ('claimed', 'sending') AND lease_token = {param(token)}) {late}) {moved}""",
    )


_ATTEMPT = {
    "delivery_id": "bigint",
    "at": "timestamptz",
    "outcome": "text",
    "phase": "text",
    "code": "int",
    "enhanced": "text",
    "reply": "text",
    "server": "text",
    "tls": "text",
    "duration_ms": "int",
    "worker": "text",
}


def _note(writes: Writes, results: Sequence[Result], worker: str) -> None:
    """Add the attempts."""
    now = str(clock.now())
    rows = [
        (
            result.delivery.id,
            now,
            str(result.outcome),
            str(result.phase),
            result.code,
            result.enhanced,
            _storable(result.reply),
            result.server,
            result.tls,
            result.duration_ms,
            worker,
        )
        for result in results
    ]
    writes.insert("attempt", _ATTEMPT, rows)


def _errors(results: Sequence[Result]) -> dict[int, str]:
    return {
        result.delivery.message_id: _told(result.delivery, _storable(result.reply))
        for result in results
        if result.outcome is not Outcome.SENT
    }


def _storable(words: str) -> str:
    """Return a text that any database stores."""
    return words if words.isprintable() else words.replace("\0", "").encode("utf-8", "replace").decode()


def _told(delivery: Claimed, reply: str) -> str:
    words = f"{delivery.recipient}: {reply}"
    return unnamed(words, delivery.recipient) if delivery.kind == BLIND else words
