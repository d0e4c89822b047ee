"""Pacing: so many recipients in so much time, counted in the database for all workers, hosts and restarts.

A window slides: it is cut into slices, and what the slices of the last window hold is what was used of it. So no
stretch of time as long as the window ever sees more than its limit. Who asks waits for his turn at a lock.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

from core.clock import span
from core.delivery.servers import Rate
from core.mail.address import domain_of
from core.orm.transaction import transaction
from core.runtime import get_model, runtime

_SLICES = 20
WINDOWS_S = (1, 60, 86_400)
"""A rate is told for a second, a minute or a day."""
ANY_DOMAIN = "*"


@dataclass(frozen=True, slots=True)
class Limit:
    """`count` recipients in `window_s` seconds; `key` names whose limit it is, such as `server:3`."""

    key: str
    count: int
    window_s: int

    @property
    def name(self) -> str:
        return f"{self.key}/{self.window_s}"

    @property
    def slice_s(self) -> float:
        return self.window_s / _SLICES

    @property
    def portion(self) -> int:
        """How many one worker takes at a time, so that it neither hoards nor asks for each."""
        return max(1, self.count // _SLICES)


def limits_of(key: str, rates: Sequence[Rate]) -> tuple[Limit, ...]:
    """Return the limits of a server or domain."""
    return tuple(Limit(key, rate.count, rate.window_s) for rate in rates)


async def domain_limits() -> dict[str, tuple[Limit, ...]]:
    """Return the limits of each paced domain; those under `*` are for each domain without its own."""
    rows = await get_model("DomainPace").filter(active=True)
    return {row.domain: limits_of(f"domain:{row.domain}", _rates(row)) for row in rows}


def _rates(row: Any) -> list[Rate]:
    windows = {1: row.rate_per_second, 60: row.rate_per_minute, 86_400: row.rate_per_day}
    return [Rate(count, window_s) for window_s, count in windows.items() if count]


async def take(limits: Sequence[Limit], wanted: int) -> tuple[int, float]:
    """Take up to `wanted` from every one of the limits at once.

    Returns how many were granted, from 0, and where that is 0 for how many seconds there are none.
    """
    granted, wait_s, _ = await _take(limits, wanted)
    return granted, wait_s


async def _take(limits: Sequence[Limit], wanted: int) -> tuple[int, float, float]:
    """Return what `take` does, and when that was, by the database's clock."""
    async with transaction():
        await _lock(limits)
        now_s = await _now_s()
        free, wait_s = wanted, 0.0
        for limit in limits:
            used, oldest = await _used(limit, now_s)
            if used >= limit.count:
                wait_s = max(wait_s, (oldest + _SLICES + 1) * limit.slice_s - now_s, 0.01)
            free = min(free, limit.count - used)
        if free <= 0:
            return 0, wait_s, now_s
        for limit in limits:
            await _use(limit, now_s, free)
    return free, 0.0, now_s


async def _put_back(limits: Sequence[Limit], count: int, taken_at_s: float) -> None:
    """Undo a part of what was taken, in the very slices that it was taken from."""
    database = runtime().database
    param = database.dialect.param
    for limit in limits:
        await database.execute(
            f"UPDATE pace_use SET used = used - {param(3)} WHERE limit_key = {param(1)} AND slice = {param(2)}",
            [limit.name, int(taken_at_s / limit.slice_s), count],
        )


async def _lock(limits: Sequence[Limit]) -> None:
    """Let nobody else count these limits until the transaction ends; on SQLite nobody can anyway."""
    database = runtime().database
    if database.dialect.name == "postgres":
        for name in sorted(limit.name for limit in limits):
            await database.fetch("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", [name])


async def _now_s() -> float:
    database = runtime().database
    (row,) = await database.fetch(f"SELECT {database.dialect.epoch()} AS now_s")
    return float(row["now_s"])


async def _used(limit: Limit, now_s: float) -> tuple[int, int]:
    """Return how much of the window is used, and its oldest slice that holds anything."""
    database = runtime().database
    param = database.dialect.param
    first = int(now_s / limit.slice_s) - _SLICES
    (row,) = await database.fetch(
        f"""SELECT COALESCE(SUM(used), 0) AS used, MIN(slice) AS oldest FROM pace_use
            WHERE limit_key = {param(1)} AND slice BETWEEN {param(2)} AND {param(3)}""",
        [limit.name, first, first + _SLICES],
    )
    return int(row["used"]), first if row["oldest"] is None else int(row["oldest"])


async def _use(limit: Limit, now_s: float, count: int) -> None:
    database = runtime().database
    param = database.dialect.param
    now_slice = int(now_s / limit.slice_s)
    await database.execute(
        f"""INSERT INTO pace_use (limit_key, slice, used) VALUES ({param(1)}, {param(2)}, {param(3)})
            ON CONFLICT (limit_key, slice) DO UPDATE SET used = pace_use.used + excluded.used""",
        [limit.name, now_slice, count],
    )
    await database.execute(
        f"DELETE FROM pace_use WHERE limit_key = {param(1)} AND slice NOT BETWEEN {param(2)} AND {param(3)}",
        [limit.name, now_slice - _SLICES, now_slice],
    )


async def forget_old_use() -> int:
    """Delete what was used of limits that nobody has asked for since; return how many rows."""
    database = runtime().database
    param = database.dialect.param
    now_s, forgotten = await _now_s(), 0
    for limit in (Limit("%", 1, window_s) for window_s in WINDOWS_S):
        forgotten += await database.execute(
            f"DELETE FROM pace_use WHERE limit_key LIKE {param(1)} AND slice < {param(2)}",
            [limit.name, int(now_s / limit.slice_s) - _SLICES],
        )
    return forgotten


@dataclass(frozen=True, slots=True)
class Wait:
    """How long a mail may not go; `words` say why. `is_for_all` means that no other mail of the server may either."""

    seconds: float
    words: str
    is_for_all: bool


class Pace:
    """What one worker may send through one server, as far as it was granted."""

    def __init__(self, server: Sequence[Limit], domains: Mapping[str, Sequence[Limit]]):
        self._server = tuple(server)
        self._domains = {domain: tuple(limits) for domain, limits in domains.items()}
        self._granted: dict[tuple[Limit, ...], int] = defaultdict(int)
        self._taken_at_s: dict[tuple[Limit, ...], float] = {}
        self._refused: dict[tuple[Limit, ...], tuple[float, Wait]] = {}
        """Until when, by the monotonic clock, there is no sense in asking again."""

    async def admit(self, recipients: Sequence[str]) -> Wait | None:
        """Count the recipients of a mail that goes now and return None; or count nothing and return why it waits."""
        needs = self._needs(recipients)
        for limits, count in needs.items():
            if self._granted[limits] < count:
                wait = await self._ask(limits, count)
                if wait is not None:
                    return wait
        for limits, count in needs.items():
            self._granted[limits] -= count
        return None

    async def give_back(self) -> None:
        """Return what was granted and not used, or the mail of the next claims would wait for nothing."""
        left = {limits: count for limits, count in self._granted.items() if count}
        self._granted.clear()
        for limits, count in left.items():
            await _put_back(limits, count, self._taken_at_s[limits])

    async def _ask(self, limits: tuple[Limit, ...], count: int) -> Wait | None:
        """See that `count` are granted; or return how long to wait, which holds for all who ask meanwhile."""
        until, wait = self._refused.get(limits, (0.0, None))
        if wait is not None and monotonic() < until:
            return wait
        granted, wait_s, taken_at_s = await _take(limits, max(count - self._granted[limits], _portion(limits)))
        if granted:
            self._granted[limits] += granted
            self._taken_at_s[limits] = taken_at_s
        if self._granted[limits] >= count:
            return None
        wait_s = max(wait_s, limits[0].slice_s)
        words = f"{_whose(limits)} takes no more for {span(max(wait_s, 1))}, by the rate that is set for it."
        wait = Wait(wait_s, words, is_for_all=limits == self._server)
        self._refused[limits] = monotonic() + wait_s, wait
        return wait

    def _needs(self, recipients: Sequence[str]) -> dict[tuple[Limit, ...], int]:
        """Return how many of each group of limits a mail needs: all of one that its recipients outnumber."""
        needs: dict[tuple[Limit, ...], int] = defaultdict(int)
        if self._server:
            needs[self._server] = len(recipients)
        for recipient in recipients if self._domains else ():
            limits = self._domains.get(domain_of(recipient)) or self._of_any(domain_of(recipient))
            if limits:
                needs[limits] += 1
        return {limits: min(count, *(limit.count for limit in limits)) for limits, count in needs.items()}

    def _of_any(self, domain: str) -> tuple[Limit, ...]:
        """Return the limits that hold for each domain without its own, counted for this one."""
        return tuple(Limit(f"domain:{domain}", one.count, one.window_s) for one in self._domains.get(ANY_DOMAIN, ()))


def _portion(limits: Sequence[Limit]) -> int:
    return min(limit.portion for limit in limits)


def _whose(limits: Sequence[Limit]) -> str:
    kind, _, name = limits[0].key.partition(":")
    return f"The domain {name}" if kind == "domain" else "This mail server"
