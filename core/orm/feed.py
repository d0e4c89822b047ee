"""What changed lately, for whoever watches: written down some five times a second at most, and read by every process.

A change says what moved, never what it says now: whoever hears of it reads anew, through the same checks as ever. It
is written a moment after the commit that it tells of, all that changed meanwhile as one row, so a process that is
killed in that moment leaves its watchers with what they saw last.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Self

import structlog

from core.orm.bell import Bell
from core.orm.database import Database
from core.orm.outage import database_errors
from core.orm.statement import Statement

log = structlog.get_logger(__name__)

BELL = "live"
"""What the bell rings when changes were written down."""
EVERY = "*"
"""In the place of an id: all of the kind."""
_FIRST_S = 0.02
_GATHER_S = 0.2
_AWAY_S = 1.0
_KEPT_S = 600.0
_PRUNE_EVERY_S = 60.0
_MOST_TOPICS = 200
"""From so many topics in one row on, a change of one record is told as one of its model."""
_MOST_IDS = 20
_LOCK = 0x706F7374
"""Of all who write to PostgreSQL one does at a time, so that ids are seen in their order."""


class Change(NamedTuple):
    """Something moved. `topic` is `queue`, `cron`, `inbound`, `record:Lead:7`, `user:3` or the like."""

    topic: str
    states: tuple[str, ...] = ()
    """The states that something has now."""
    ids: tuple[int, ...] = ()
    company_id: int | None = None
    """Whose it is; None where that does not matter."""
    inside: bool = False
    """Whether it concerns only those inside: a note, a draft."""

    @classmethod
    def of_timeline(
        cls, model: str, record_id: int, message_id: int, state: str | None, *, inside: bool = False
    ) -> Self:
        """Return what tells that an entry is new on a record's timeline, or not what it was."""
        return cls(f"record:{model}:{record_id}", (state,) if state else (), (message_id,), inside=inside)


class Entry(NamedTuple):
    """One row: its id, which rises, and what changed."""

    id: int
    changes: tuple[Change, ...]


class Feed:
    """Gathers changes, writes them down, and reads what was written down by any process."""

    def __init__(self, database: Database, bell: Bell):
        self._database = database
        self._bell = bell
        self._pending: dict[tuple[str, int | None, bool], tuple[set[str], set[int]]] = {}
        self._writer: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._pruned_at = float("-inf")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._closing.set()
        if self._writer is not None:
            await self._writer

    def add(self, changes: Iterable[Change]) -> None:
        """Take changes that are committed; they are written down in a moment."""
        for topic, states, ids, company_id, inside in changes:
            told_of = topic if len(self._pending) < _MOST_TOPICS else _widened(topic)
            all_states, all_ids = self._pending.setdefault((told_of, company_id, inside), (set(), set()))
            all_states.update(states)
            if len(all_ids) <= _MOST_IDS and told_of == topic:
                all_ids.update(ids)
        if self._pending and (self._writer is None or self._writer.done()):
            self._writer = asyncio.create_task(self._write())

    async def position(self) -> int:
        """Return the id of the newest row; 0 where there is none."""
        (row,) = await self._database.fetch("SELECT COALESCE(MAX(id), 0) AS id FROM live_event")
        return int(row["id"])

    async def floor(self) -> int:
        """Return the id of the oldest row that is kept; 0 where there is none."""
        (row,) = await self._database.fetch("SELECT COALESCE(MIN(id), 0) AS id FROM live_event")
        return int(row["id"])

    async def since(self, position: int, limit: int) -> list[Entry]:
        """Return the first rows behind a position, in order."""
        param = self._database.dialect.param
        rows = await self._database.fetch(
            f"SELECT id, changes FROM live_event WHERE id > {param(1)} ORDER BY id LIMIT {param(2)}", [position, limit]
        )
        return [Entry(int(row["id"]), tuple(map(_read, json.loads(row["changes"])))) for row in rows]

    async def _write(self) -> None:
        await self._pause(_FIRST_S)
        while self._pending:
            pending, self._pending = self._pending, {}
            try:
                await self._store([_written(*one) for one in pending.items()])
                await self._bell.ring(BELL)
            except database_errors() as error:
                log.warning("live changes wait, since the database is away", topics=len(pending), error=str(error))
                if self._closing.is_set():
                    return
                self.add(Change(key[0], tuple(told[0]), tuple(told[1]), *key[1:]) for key, told in pending.items())
                await self._pause(_AWAY_S)
            await self._pause(_GATHER_S)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), seconds)

    async def _store(self, changes: Sequence[Any]) -> None:
        dialect = self._database.dialect
        in_turn = f" FROM (SELECT pg_advisory_xact_lock({_LOCK})) AS turn" if dialect.name == "postgres" else ""
        statements = [
            Statement(
                f"INSERT INTO live_event (changes, created_at) SELECT {dialect.param(1)}, {dialect.now()}{in_turn}",
                [json.dumps(changes, separators=(",", ":"))],
            )
        ]
        now = asyncio.get_running_loop().time()
        if now - self._pruned_at > _PRUNE_EVERY_S:
            self._pruned_at = now
            # The newest stays, whatever its age: by it is told whether somebody missed anything.
            statements.append(
                Statement(
                    f"DELETE FROM live_event WHERE created_at < {dialect.now(-_KEPT_S)} "
                    "AND id < (SELECT MAX(id) FROM live_event)"
                )
            )
        await self._database.batch(statements)


def _widened(topic: str) -> str:
    """Return the topic of all of the kind; `queue` and its like are that already, and who left is told by name."""
    kind, colon, rest = topic.partition(":")
    if kind == "record":
        return f"{kind}:{rest.partition(':')[0]}:{EVERY}"
    return f"{kind}:{EVERY}" if colon and kind == "user" else topic


def _written(key: tuple[str, int | None, bool], told: tuple[set[str], set[int]]) -> list[Any]:
    topic, company_id, inside = key
    states, ids = told
    return [topic, sorted(states), sorted(ids) if len(ids) <= _MOST_IDS else [], company_id, inside]


def _read(row: list[Any]) -> Change:
    topic, states, ids, company_id, inside = row
    return Change(topic, tuple(states), tuple(ids), company_id, inside)
