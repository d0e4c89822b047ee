"""What an engine holds for one server or provider: mail that is more than it takes soon steps aside for other mail."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from core.delivery.job import Job

BUSY_S = 5.0
"""How long mail steps aside at most."""
_TURN_S = 0.25
_MOST_SHARES = 16
"""So many claims may wait for one server's answers."""
_NONE = float("inf")


class Backlog:
    """The shares of one server's mail that are under way, each of one claim."""

    def __init__(self) -> None:
        self._shares: list[deque[Job]] = []
        self._turn_at = float("-inf")

    @contextmanager
    def share(self, jobs: deque[Job]) -> Iterator[float]:
        """Count `jobs` as held by the block, which takes from them; gives the seconds that they should step aside for.

        That is 0 where they may be begun as soon as a connection is free: when all that is held is begun, or less
        urgent. Others come back one claim after the other, so that the server finds mail whenever it has done with what
        is held.
        """
        wait_s = self._wait_s(jobs)
        self._shares.append(jobs)
        try:
            yield wait_s
        finally:
            self._shares = [one for one in self._shares if one is not jobs]

    @property
    def is_begun(self) -> bool:
        """Whether all that is held is on its way."""
        return not any(self._shares)

    def _wait_s(self, jobs: deque[Job]) -> float:
        if len(self._shares) >= _MOST_SHARES:
            return BUSY_S
        if _urgency(jobs) < min(map(_urgency, self._shares), default=_NONE):
            return 0
        now = monotonic()
        wait_s = min(max(self._turn_at - now, 0) + _TURN_S, BUSY_S)
        self._turn_at = now + wait_s
        return wait_s


def _urgency(jobs: deque[Job]) -> float:
    """Return the priority of the most urgent of them, the lowest number."""
    return min((job.deliveries[0].priority for job in jobs), default=_NONE)
