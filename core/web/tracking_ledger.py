"""Writing what readers did: a line for each kind of hit, and the roll-ups on deliveries and messages.

The roll-ups count people only; what machines did stands in the events, and in a copy's `read_at`. Rows that the sending
engine holds are left for the next time, and none is waited for while another is held, so neither can stop the other.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any

import structlog

from core.events import announce, is_heard, note, tell_addons
from core.orm.feed import Change
from core.orm.outage import database_errors
from core.orm.statement import Statement
from core.orm.transaction import transaction
from core.runtime import get_model, runtime, settings
from core.web.tracking_hits import Hit, Tally
from core.web.tracking_verdict import BURST_REACH, Reason, Verdict, in_burst, in_early_burst, is_early, verdict

log = structlog.get_logger(__name__)

_EVENTS_KEPT = 300
"""Of one delivery; what comes after is summed up and not kept."""

_NOT_FETCHED = (Reason.HEAD, Reason.OWN)
"""The picture was not asked for, or by a page of ours that shows the mail again."""

Key = tuple[str, int]
"""A row that hits are counted on: `delivery` or `message`, and its id."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """A hit whose message is known. `delivery_id` is None where it names the message alone."""

    hit: Hit
    tally: Tally
    message_id: int
    delivery_id: int | None
    sent_at: datetime | None

    @property
    def of(self) -> Key:
        return ("message", self.message_id) if self.delivery_id is None else ("delivery", self.delivery_id)


@dataclass(slots=True)
class _Change:
    """What is added to the roll-ups of one row; negative where a person turned out to be a machine."""

    opens: int = 0
    clicks: int = 0
    opened: list[datetime] = field(default_factory=list)
    clicked: list[datetime] = field(default_factory=list)

    def add(self, kind: str, count: int, at: datetime | None) -> None:
        if kind == "click":
            self.clicks += count
        else:
            self.opens += count
        if at is not None:
            (self.clicked if kind == "click" else self.opened).append(at)


class TrackingLedger:
    """Stores hits, and tells addons of what people did, beside the storing."""

    def __init__(self) -> None:
        self._telling: set[asyncio.Task[None]] = set()

    async def aclose(self) -> None:
        """Let what is being told come to its end."""
        while self._telling:
            await asyncio.wait(self._telling)

    async def store(self, hits: Mapping[Hit, Tally]) -> Mapping[Hit, Tally]:
        """Write hits; those of what is deleted are dropped. Returns those whose rows are busy."""
        seen = await _known(hits)
        if not seen:
            return {}
        async with transaction():
            first_seen = await _taken_messages(seen)
            free = await _taken_deliveries(seen)
            now = [one for one in seen if one.message_id in first_seen and one.delivery_id in free]
            people = await _write(now)
            unopened = {id for id, opened_at in first_seen.items() if opened_at is None}
            await _note(people, unopened)
        task = asyncio.create_task(_tell(people, unopened))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)
        return {one.hit: one.tally for one in seen if one not in now} if len(now) < len(seen) else {}


async def _known(hits: Mapping[Hit, Tally]) -> list[_Seen]:
    """Return the hits whose delivery or message is there."""
    database = runtime().database
    dialect = database.dialect
    ids = sorted({hit.delivery_id for hit in hits if hit.delivery_id is not None})
    rows = await database.fetch(
        f"SELECT id, message_id, begun_at FROM delivery WHERE {dialect.among('id', dialect.param(1))}",
        [dialect.ids(ids)],
    )
    deliveries = {row["id"]: (row["message_id"], dialect.read_time(row["begun_at"])) for row in rows}
    names = {hit.identifier for hit in hits if hit.delivery_id is None}
    messages = await _messages_named(names) if names else {}
    seen = []
    for hit, tally in hits.items():
        if hit.delivery_id in deliveries:
            message_id, sent_at = deliveries[hit.delivery_id]
            seen.append(_Seen(hit, tally, message_id, hit.delivery_id, sent_at))
        elif hit.delivery_id is None and hit.identifier in messages:
            message_id, sent_at = messages[hit.identifier]
            seen.append(_Seen(hit, tally, message_id, None, sent_at))
    return seen


async def _messages_named(identifiers: Iterable[str]) -> dict[str, tuple[int, datetime | None]]:
    """Return (id, when it was sent) of the newest outbound message with each identifier."""
    rows = get_model("Message").filter(tracking_identifier__in=list(identifiers), direction="Outbound").order_by("id")
    return {name: (pk, at) for name, pk, at in await rows.values_list("tracking_identifier", "id", "sent_at")}


# Busy rows are passed over. SQLite has one writer, which we are here.


async def _taken_messages(seen: Sequence[_Seen]) -> dict[int, datetime | None]:
    """Return when each message that is free was first opened."""
    rows = await _take("message", "id, opened_at", {one.message_id for one in seen})
    read_time = runtime().database.dialect.read_time
    return {row["id"]: read_time(row["opened_at"]) for row in rows}


async def _taken_deliveries(seen: Sequence[_Seen]) -> set[int | None]:
    """Return the deliveries that are free; that of a hit without one always is."""
    rows = await _take("delivery", "id", {one.delivery_id for one in seen if one.delivery_id is not None})
    return {None, *(row["id"] for row in rows)}


async def _take(table: str, columns: str, ids: set[int]) -> list[dict[str, Any]]:
    database = runtime().database
    dialect = database.dialect
    lock = "FOR NO KEY UPDATE SKIP LOCKED" if dialect.skip_locked else ""
    sql = f"SELECT {columns} FROM {table} WHERE {dialect.among('id', dialect.param(1))} ORDER BY id {lock}"
    return await database.fetch(sql, [dialect.ids(sorted(ids))])


async def _write(seen: Sequence[_Seen]) -> list[_Seen]:
    """Write events and roll-ups; returns what people did."""
    if not seen:
        return []
    earlier = await _earlier(seen)
    burst = _bursts(seen, earlier)
    judged = [(one, _judged(one, burst)) for one in seen]
    mistaken = [row for row in earlier if row["verdict"] == "human" and _place(row) in burst]
    changes: dict[Key, _Change] = defaultdict(_Change)
    for one, found in judged:
        if found.is_human:
            for key in {one.of, ("message", one.message_id)}:
                changes[key].add(_kind(one), one.tally.count, one.tally.first_at)
    for row in mistaken:
        for key in (("delivery", row["delivery_id"]), ("message", row["message_id"])):
            changes[key].add(row["kind"], -row["count"], None)
    kept = await _room(seen)
    await runtime().database.batch(
        [
            *_corrected(mistaken),
            *_events([pair for pair in judged if kept(pair[0])]),
            *_roll_ups(changes),
            *_first_fetches(seen),
            *_true_firsts(mistaken),
        ]
    )
    return [one for one, found in judged if found.is_human]


def _kind(one: _Seen) -> str:
    return "click" if one.hit.url else "open"


def _judged(one: _Seen, burst: set[tuple[Key, datetime, str]]) -> Verdict:
    found = verdict(one.hit.hint, one.hit.user_agent)
    if found.is_human and (one.of, one.tally.first_at, one.hit.url) in burst:
        return Verdict(False, Reason.BURST)
    return found


# Bursts.


async def _earlier(seen: Sequence[_Seen]) -> list[dict[str, Any]]:
    """Return the stored hits that these may make a burst with; nothing for a hit that names the message alone."""
    suspects = [one for one in seen if one.hit.url or is_early(one.tally.first_at, one.sent_at)]
    ids = sorted({one.delivery_id for one in suspects if one.delivery_id is not None})
    if not ids:
        return []
    database = runtime().database
    dialect = database.dialect
    since = min(one.tally.first_at for one in suspects) - BURST_REACH
    rows = await database.fetch(
        f"""SELECT id, delivery_id, message_id, kind, url, at, count, verdict, reason FROM tracking_event
            WHERE {dialect.among("delivery_id", dialect.param(1))} AND at > {dialect.param(2)}""",
        [dialect.ids(ids), dialect.time(since)],
    )
    return [{**row, "at": dialect.read_time(row["at"])} for row in rows]


def _bursts(seen: Sequence[_Seen], earlier: Iterable[Mapping[str, Any]]) -> set[tuple[Key, datetime, str]]:
    """Return which hits are of a burst: all clicks count for one at any age, and early what seems a person's."""
    clicks: dict[Key, list[tuple[datetime, str]]] = defaultdict(list)
    people: dict[Key, list[tuple[datetime, str, int]]] = defaultdict(list)
    asked = [
        (one.of, one.tally.first_at, one.hit.url, one.tally.count, verdict(one.hit.hint, one.hit.user_agent).is_human)
        for one in seen
    ]
    asked += [(*_place(row), row["count"], row["verdict"] == "human" or row["reason"] == "burst") for row in earlier]
    for key, at, url, count, is_human in asked:
        if url:
            clicks[key].append((at, url))
        if is_human:
            people[key].append((at, url, count))
    found = {(key, *hit) for key, among in clicks.items() for hit in in_burst(among)}
    sent = {one.of: one.sent_at for one in seen}
    return found | {(key, *hit) for key, among in people.items() for hit in in_early_burst(among, sent[key])}


def _place(row: Mapping[str, Any]) -> tuple[Key, datetime, str]:
    return ("delivery", row["delivery_id"]), row["at"], row["url"]


def _corrected(mistaken: Sequence[Mapping[str, Any]]) -> list[Statement]:
    """Call hits a machine's that were taken for a person's before the rest of their burst came."""
    if not mistaken:
        return []
    dialect = runtime().database.dialect
    ids = dialect.ids([row["id"] for row in mistaken])
    among = dialect.among("id", dialect.param(1))
    return [Statement(f"UPDATE tracking_event SET verdict = 'machine', reason = 'burst' WHERE {among}", [ids])]


# Rows.


async def _room(seen: Sequence[_Seen]) -> Any:
    """Return a function that tells whether an event of a hit is still kept."""
    database = runtime().database
    dialect = database.dialect
    kept: dict[Key, int] = {}
    for table, extra in (("delivery", ""), ("message", " AND delivery_id IS NULL")):
        ids = sorted({one.of[1] for one in seen if one.of[0] == table})
        rows = await database.fetch(
            f"""SELECT {table}_id AS id, COUNT(*) AS count FROM tracking_event
                WHERE {dialect.among(f"{table}_id", dialect.param(1))}{extra} GROUP BY {table}_id""",
            [dialect.ids(ids)],
        ) if ids else []  # fmt: skip
        kept |= {(table, row["id"]): row["count"] for row in rows}

    def has_room(one: _Seen) -> bool:
        kept[one.of] = kept.get(one.of, 0) + 1
        return kept[one.of] <= _EVENTS_KEPT

    return has_room


def _events(judged: Sequence[tuple[_Seen, Verdict]]) -> list[Statement]:
    if not judged:
        return []
    dialect, kept = runtime().database.dialect, settings().TRACKING_IP
    columns = "message_id, delivery_id, kind, url, at, count, verdict, reason, ip, user_agent"
    places = ", ".join(map(dialect.param, range(1, 11)))
    rows = [
        (
            one.message_id,
            one.delivery_id,
            _kind(one),
            one.hit.url,
            dialect.time(one.tally.first_at),
            one.tally.count,
            found.word,
            found.reason or "",
            _kept_ip(one.hit.ip, kept),
            one.hit.user_agent.replace("\0", ""),
        )
        for one, found in judged
    ]
    return [Statement(f"INSERT INTO tracking_event ({columns}) VALUES ({places})", rows=rows)]


def _roll_ups(changes: Mapping[Key, _Change]) -> list[Statement]:
    """A click is an open too: whoever clicks has opened, also where pictures are switched off."""
    dialect = runtime().database.dialect
    row_id, opens, clicks, opened, clicked = map(dialect.param, range(1, 6))
    statements = []
    for table in ("delivery", "message"):
        rows = []
        for (of, at), change in sorted(changes.items()):
            if of == table:
                seen = change.opened + change.clicked
                rows.append((at, change.opens, change.clicks, _time(seen), _time(change.clicked)))
        if rows:
            sql = f"""UPDATE {table} SET
                open_count = open_count + {opens}, click_count = click_count + {clicks},
                opened_at = CASE WHEN open_count + {opens} + click_count + {clicks} > 0
                                 THEN COALESCE(opened_at, {opened}) END,
                clicked_at = CASE WHEN click_count + {clicks} > 0 THEN COALESCE(clicked_at, {clicked}) END
                WHERE id = {row_id}"""
            statements.append(Statement(sql, rows=rows))
    return statements


def _first_fetches(seen: Sequence[_Seen]) -> list[Statement]:
    """Note when each copy's pixel was first fetched, by a person or by a machine that shows it to one, or does not."""
    dialect = runtime().database.dialect
    fetched: dict[int, datetime] = {}
    for one in seen:
        if one.delivery_id is not None and not one.hit.url and one.hit.hint not in _NOT_FETCHED:
            fetched[one.delivery_id] = min(one.tally.first_at, fetched.get(one.delivery_id, one.tally.first_at))
    sql = f"UPDATE delivery SET read_at = {dialect.param(2)} WHERE id = {dialect.param(1)} AND read_at IS NULL"
    rows = [(delivery_id, dialect.time(at)) for delivery_id, at in sorted(fetched.items())]
    return [Statement(sql, rows=rows)] if rows else []


def _true_firsts(mistaken: Sequence[Mapping[str, Any]]) -> list[Statement]:
    """Where what is taken back was the first of its kind, put the first that a person did in its place."""
    dialect = runtime().database.dialect
    row_id, mistaken_at = dialect.param(1), dialect.param(2)
    return [
        Statement(
            f"""UPDATE {table} SET {column} = COALESCE(
                    (SELECT MIN(at) FROM tracking_event WHERE {table}_id = {row_id} AND verdict = 'human'{extra}),
                    {column})
                WHERE id = {row_id} AND {column} = {mistaken_at}""",
            rows=[(row[f"{table}_id"], dialect.time(row["at"])) for row in mistaken],
        )
        for table in ("delivery", "message")
        for column, extra in (("opened_at", ""), ("clicked_at", " AND kind = 'click'"))
        if mistaken
    ]


def _time(times: Sequence[datetime]) -> Any:
    return runtime().database.dialect.time(min(times)) if times else None


@lru_cache(maxsize=4096)
def _kept_ip(ip: str, kept: str) -> str:
    """Return what TRACKING_IP keeps of an address; nothing of what is none."""
    if kept == "none" or not ip:
        return ""
    try:
        address = ip_address(ip)
    except ValueError:
        return ""
    if kept == "whole":
        return str(address)
    return str(ip_network((address, 24 if address.version == 4 else 48), strict=False).network_address)


async def _tell(people: Sequence[_Seen], unopened: set[int]) -> None:
    """Tell of messages that were opened for the first time, and of links that were followed."""
    try:
        await _tell_of(people, unopened)
    except database_errors() as error:
        log.warning("addons are not told of opens and clicks, since the database is away", error=str(error))


async def _announce(message_ids: Collection[int]) -> None:
    """Let those who watch the timelines know."""
    rows = get_model("Message").filter(id__in=list(message_ids), res_id__isnull=False)
    columns = ("res_model", "res_id", "id", "send_state")
    await announce(*(Change.of_timeline(*row) for row in await rows.values_list(*columns)))


async def _tell_of(people: Sequence[_Seen], unopened: set[int]) -> None:
    await _announce({one.message_id for one in people})
    hooks = runtime().hooks
    wanted = {name for name in ("message_opened", "message_clicked") if hooks.users_of(name)}
    for name, values in await _events_of(people, unopened, wanted):
        await tell_addons(name, **values)


async def _note(people: Sequence[_Seen], unopened: set[int]) -> None:
    """Write down which webhooks are to be told of the same."""
    wanted = {name for name in ("message_opened", "message_clicked") if people and await is_heard(name)}
    for name, values in await _events_of(people, unopened, wanted):
        await note(name, **values)


async def _events_of(
    people: Sequence[_Seen], unopened: set[int], wanted: Collection[str]
) -> list[tuple[str, dict[str, Any]]]:
    """Return what people did, as the wanted events: first openings, and each link that was followed."""
    opened = {one.message_id for one in people} & unopened if "message_opened" in wanted else set()
    clicked = {(one.message_id, one.hit.url) for one in people if one.hit.url and "message_clicked" in wanted}
    ids = opened | {message_id for message_id, _ in clicked}
    messages = {one.pk: one for one in await get_model("Message").filter(id__in=list(ids))} if ids else {}
    events: list[tuple[str, dict[str, Any]]] = [
        ("message_opened", {"message": messages[message_id]}) for message_id in sorted(opened & messages.keys())
    ]
    for message_id, url in sorted(clicked):
        if message_id in messages:
            events.append(("message_clicked", {"message": messages[message_id], "url": url}))
    return events
