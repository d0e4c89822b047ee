"""What an engine holds for one server or provider: mail that is more than it takes soon steps aside for other mail."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from core.delivery.job import Job

_BUSY_S = 5.0
_TURN_S = 0.25
_MOST_SHARES = 8
"""So many claims may wait for one server's answers."""


class Backlog:
    """The shares of one server's mail that are under way, each of one claim."""

    def __init__(self) -> None:
        self._shares: list[deque[Job]] = []
        self._turn_at = float("-inf")

    @contextmanager
    def share(self, jobs: deque[Job]) -> Iterator[float]:
        """Count `jobs` as held by the block, which takes from them; gives the seconds that they should step aside for.

        That is 0 where they can be begun as soon as a connection is free. Others come back one claim after the other,
        so that the server finds mail whenever it has done with what is held, and none is claimed over and over.
        """
        wait_s = self._wait_s()
        self._shares.append(jobs)
        try:
            yield wait_s
        finally:
            self._shares = [one for one in self._shares if one is not jobs]

    @property
    def is_begun(self) -> bool:
        """Whether all that is held is on its way."""
        return not any(self._shares)

    def _wait_s(self) -> float:
        if len(self._shares) >= _MOST_SHARES:
            return _BUSY_S
        if self.is_begun:
            return 0
        now = monotonic()
        self._turn_at = min(max(self._turn_at, now) + _TURN_S, now + _BUSY_S)
        return self._turn_at - now
