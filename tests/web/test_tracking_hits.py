"""Hits in memory: coalesced, bounded, kept while the database is away, written at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from core.clock import clock_at
from core.web import tracking_hits
from core.web.tracking_hits import Hit, Hits, Tally

pytestmark = pytest.mark.anyio
AT = datetime(2026, 1, 1, tzinfo=UTC)


class Written:
    """A ledger that remembers; with `fault` it fails that way, with `busy` it takes nothing."""

    def __init__(self) -> None:
        self.hits: dict[Hit, int] = {}
        self.fault: Exception | None = None
        self.busy = False
        self.is_closed = False

    async def store(self, hits: Mapping[Hit, Tally]) -> Mapping[Hit, Tally]:
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault
        if self.busy:
            return hits
        for hit, tally in hits.items():
            self.hits[hit] = self.hits.get(hit, 0) + tally.count
            assert tally.first_at == AT
        return {}

    async def aclose(self) -> None:
        self.is_closed = True


def hit(number: int | None = 1, identifier: str = "") -> Hit:
    return Hit(number, identifier, "", "192.0.2.1", "Firefox", None)


async def test_like_hits_are_one_line() -> None:
    ledger = Written()
    hits = Hits(ledger)
    with clock_at(AT):
        for _ in range(10_000):
            hits.add(hit())
    assert await hits.flush()
    assert ledger.hits == {hit(): 10_000}


@pytest.mark.parametrize("fault", [OSError("away"), TimeoutError()])
async def test_none_is_lost_while_the_database_is_away(fault: Exception) -> None:
    ledger = Written()
    ledger.fault = fault
    hits = Hits(ledger)
    with clock_at(AT):
        hits.add(hit())
        assert not await hits.flush()
        hits.add(hit())
    ledger.fault = None
    ledger.busy = True
    assert await hits.flush()
    ledger.busy = False
    assert await hits.flush()
    assert ledger.hits == {hit(): 2}


async def test_a_fault_of_ours_stops_no_later_hit() -> None:
    ledger = Written()
    ledger.fault = ValueError("odd")
    hits = Hits(ledger)
    with clock_at(AT):
        hits.add(hit(1))
        assert await hits.flush()
        ledger.fault = None
        hits.add(hit(2))
    await hits.flush()
    assert ledger.hits == {hit(2): 1}


async def test_made_up_identifiers_do_not_push_out_tokens_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking_hits, "_MOST_NAMED", 5)
    monkeypatch.setattr(tracking_hits, "_MOST_SIGNED", 5)
    ledger = Written()
    hits = Hits(ledger)
    with clock_at(AT):
        for number in range(100):
            hits.add(hit(None, f"made-up-{number}"))
        for number in range(7):
            hits.add(hit(number))
        hits.add(hit(0))
    await hits.flush()
    assert len(ledger.hits) == 10
    assert ledger.hits[hit(0)] == 2


async def test_the_rest_is_written_at_the_end() -> None:
    ledger, stop = Written(), asyncio.Event()
    hits = Hits(ledger)
    running = asyncio.create_task(hits.run(stop))
    await asyncio.sleep(0)
    with clock_at(AT):
        hits.add(hit())
    stop.set()
    await running
    assert ledger.hits == {hit(): 1}
    assert ledger.is_closed


async def test_many_are_written_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking_hits, "_AT_ONCE", 10)
    ledger, stop = Written(), asyncio.Event()
    hits = Hits(ledger)
    with clock_at(AT):
        for number in range(25):
            hits.add(hit(number))
    assert await hits.flush()
    assert len(ledger.hits) == 10
    stop.set()
    await hits.run(stop)
    assert len(ledger.hits) == 25
