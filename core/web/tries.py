"""Counting guesses in this process, where each worker may have its own: those at tokens, which nobody can guess."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable

from core.web.errors import TooManyTries


class Tries:
    """A sliding window per key; the oldest keys are forgotten beyond `most_keys`."""

    def __init__(
        self,
        limit: int = 5,
        window_s: float = 60,
        *,
        most_keys: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._limit = limit
        self._window_s = window_s
        self._most_keys = most_keys
        self._clock = clock
        self._seen: OrderedDict[str, deque[float]] = OrderedDict()

    def count(self, key: str) -> None:
        """Count one try, or raise TooManyTries where the window is full."""
        at = self._clock()
        times = self._seen.setdefault(key, deque())
        self._seen.move_to_end(key)
        while times and times[0] <= at - self._window_s:
            times.popleft()
        if len(times) >= self._limit:
            raise TooManyTries(times[0] + self._window_s - at)
        times.append(at)
        while len(self._seen) > self._most_keys:
            self._seen.popitem(last=False)

    def forget(self, key: str) -> None:
        """Start anew for a key, after a success."""
        self._seen.pop(key, None)
