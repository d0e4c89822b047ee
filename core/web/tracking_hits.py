"""Opens and clicks that were just seen, kept in memory and written a few times a second.

Like hits become one line with a count, so a pixel that ten thousand ask for costs a few rows. Nobody who asks waits
for a write. While the database is away, hits are kept up to a bound and written later; a killed process loses what it
saw within the last quarter of a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import NamedTuple, Protocol

import structlog

from core import clock
from core.orm.outage import database_errors
from core.web.tracking_verdict import Reason

log = structlog.get_logger(__name__)

_EVERY_S = 0.2
_LONGEST_WAIT_S = 5.0
_LAST_TRIES = 5
_AT_ONCE = 500
"""So many go into one write, which then holds nobody up for long."""
_MOST_SIGNED = 20_000
_MOST_NAMED = 2_000
"""Hits by a message's identifier, which anybody can make up: they never push out those with a token of ours."""


class Hit(NamedTuple):
    """What equal hits have in common. An empty `url` is the pixel."""

    delivery_id: int | None
    identifier: str
    """A message's `tracking_identifier`, where the hit names no delivery; whether there is one is not asked yet."""
    url: str
    ip: str
    user_agent: str
    hint: Reason | None


@dataclass(slots=True)
class Tally:
    """How often a hit came, and when first."""

    count: int
    first_at: datetime


class Ledger(Protocol):
    """Where hits are written."""

    async def store(self, hits: Mapping[Hit, Tally]) -> Mapping[Hit, Tally]:
        """Write hits, and return those that must wait because their rows are busy."""
        ...

    async def aclose(self) -> None:
        """Let what follows from a write come to its end."""
        ...


class Hits:
    """What came in since the last write."""

    def __init__(self, ledger: Ledger):
        self._ledger = ledger
        self._signed: dict[Hit, Tally] = {}
        self._named: dict[Hit, Tally] = {}
        self._lost = 0

    def add(self, hit: Hit) -> None:
        """Count a hit; beyond the bound a new kind of hit is lost, and said so in the log."""
        self._keep(hit, 1, clock.now())

    async def run(self, stop: asyncio.Event) -> None:
        """Write what comes in until `stop`, and the rest then."""
        wait_s = _EVERY_S
        while not stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), wait_s / 10 if self._waiting > _AT_ONCE else wait_s)
            wait_s = _EVERY_S if await self.flush() else min(2 * wait_s, _LONGEST_WAIT_S)
        await self._flush_the_rest()
        await self._ledger.aclose()

    async def _flush_the_rest(self) -> None:
        tries = 0
        while self._waiting and tries < _LAST_TRIES:
            before = self._waiting
            await self.flush()
            if self._waiting >= before:
                tries += 1
                await asyncio.sleep(_EVERY_S)
        if self._waiting:
            log.error("opens and clicks are lost, since they could not be written", hits=self._waiting)

    async def flush(self) -> bool:
        """Write what waits, the first of it where it is much; False where the database is away, and it waits on."""
        taken = {hit: kept.pop(hit) for kept in (self._signed, self._named) for hit in list(islice(kept, _AT_ONCE))}
        if not taken:
            return True
        left: Mapping[Hit, Tally] = taken
        try:
            left = await self._ledger.store(taken)
        except database_errors(TimeoutError) as error:
            log.warning("opens and clicks wait, since the database is away", hits=len(taken), error=str(error))
            return False
        except Exception as error:  # One bad hit is an edge: it must not stop the counting of all others.
            log.exception("opens and clicks could not be stored", hits=len(taken), error=str(error))
            left = {}
        finally:
            for hit, tally in left.items():
                self._keep(hit, tally.count, tally.first_at)
            if self._lost:
                log.warning("too many opens and clicks to keep", lost=self._lost)
                self._lost = 0
        return True

    @property
    def _waiting(self) -> int:
        return len(self._signed) + len(self._named)

    def _keep(self, hit: Hit, count: int, at: datetime) -> None:
        kept, most = (self._named, _MOST_NAMED) if hit.delivery_id is None else (self._signed, _MOST_SIGNED)
        tally = kept.get(hit)
        if tally is not None:
            tally.count += count
            tally.first_at = min(tally.first_at, at)
        elif len(kept) < most:
            kept[hit] = Tally(count, at)
        else:
            self._lost += count
