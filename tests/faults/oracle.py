"""The judge of every fault test: what the servers' ledgers say against what the database says.

A delivery that the database calls sent and no server has is a loss. A copy beyond the first is a repeat, and allowed
only up to the row's bound. Whatever a server has and the database does not call sent must at least be in doubt there.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from core.runtime import get_model
from tests.servers.fake_mta import Accepted

_DOUBTED = frozenset({"unknown", "sent"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a comparison came to; `states` counts deliveries."""

    states: Mapping[str, int]
    missing: tuple[str, ...]
    repeats: int
    faults: tuple[str, ...]


async def judge(accepted: Iterable[Accepted]) -> Verdict:
    """Compare all ledgers of a test with the open host's database."""
    ledger = list(accepted)
    copies = Counter((one.message_id, one.recipient) for one in ledger)
    rows = await get_model("Delivery").all().prefetch_related("message", "tries").order_by("id")
    faults = [*_changed_bytes(ledger), *_strangers(copies, rows)]
    for row in rows:
        faults += _inconsistent(row, copies[row.message.message_id, row.recipient])
    faults += _wrong_totals(rows)
    missing = [_named(row) for row in rows if row.state == "sent" and not copies[row.message.message_id, row.recipient]]
    repeats = sum(count - 1 for count in copies.values())
    return Verdict(Counter(row.state for row in rows), tuple(missing), repeats, tuple(faults))


async def require(
    accepted: Iterable[Accepted], *, repeats: int = 0, states: Mapping[str, int] | None = None
) -> Verdict:
    """Judge, and fail unless nothing was lost, repeats are within the bound and all states agree.

    `states` is what the deliveries must be; None means that every one of them is sent.
    """
    verdict = await judge(accepted)
    assert not verdict.missing, f"lost: {verdict.missing}"
    assert not verdict.faults, verdict.faults
    assert verdict.repeats <= repeats, f"{verdict.repeats} repeats, and at most {repeats} are allowed"
    expected = {"sent": sum(verdict.states.values())} if states is None else states
    assert dict(verdict.states) == dict(expected)
    return verdict


def _changed_bytes(ledger: Iterable[Accepted]) -> list[str]:
    digests: dict[str, set[str]] = defaultdict(set)
    for one in ledger:
        digests[one.message_id].add(one.sha256)
    return [
        f"{message_id} went out in {len(found)} versions" for message_id, found in digests.items() if len(found) > 1
    ]


def _strangers(copies: Iterable[tuple[str, str]], rows: Iterable[Any]) -> list[str]:
    known = {(row.message.message_id, row.recipient) for row in rows}
    return [f"{message_id} to {recipient} is in no database" for message_id, recipient in set(copies) - known]


def _inconsistent(row: Any, copies: int) -> list[str]:
    outcomes = Counter(attempt.outcome for attempt in row.tries)
    faults = []
    if row.state in ("claimed", "sending"):
        faults.append(f"{_named(row)} is left as {row.state}")
    if row.state == "sent" and not outcomes["sent"]:
        faults.append(f"{_named(row)} is sent by no attempt")
    if outcomes["sent"] > copies:
        faults.append(f"{_named(row)} has {outcomes['sent']} accepted attempts, and the server {copies} copies")
    if copies and not _DOUBTED & set(outcomes):
        faults.append(f"{_named(row)} is on the server, and no attempt says that it may be")
    if row.state == "failed" and not (outcomes["permanent"] or outcomes["temporary"]):
        faults.append(f"{_named(row)} failed without a refusal")
    if row.attempts > outcomes["temporary"] + outcomes["unknown"]:
        faults.append(f"{_named(row)} lost {row.attempts} retries to {dict(outcomes)}")
    if row.state == "unknown" and not outcomes["unknown"]:
        faults.append(f"{_named(row)} is in doubt, and no attempt says why")
    return faults


def _wrong_totals(rows: Iterable[Any]) -> list[str]:
    states: dict[int, set[str]] = defaultdict(set)
    messages = {}
    for row in rows:
        states[row.message_id].add(row.state)
        messages[row.message_id] = row.message
    return [
        f"message {message.id} says {message.send_state}, its deliveries {sorted(states[message.id])}"
        for message in messages.values()
        if (message.send_state == "Sent") != (states[message.id] <= {"sent"})
    ]


def _named(row: Any) -> str:
    return f"delivery {row.id} to {row.recipient}"
