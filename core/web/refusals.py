"""Counting refused webhook calls in this process, so that a flood of them is not a flood of writes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from core.runtime import get_model

_EVERY_S = 1.0
_MOST_REASONS = 100


class Refusals:
    """What was refused since it was last written: at most once a second for each reason, the first time at once."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._waiting: Counter[tuple[str, str]] = Counter()
        self._written: dict[tuple[str, str], float] = {}

    async def count(self, webhook: str, reason: str) -> None:
        """Count one refused call."""
        key = (webhook, reason)
        self._waiting[key] += 1
        if self._clock() - self._written.get(key, float("-inf")) < _EVERY_S:
            return
        if len(self._written) >= _MOST_REASONS:
            self._written.clear()
        self._written[key] = self._clock()
        await get_model("WebhookRefusal").note(webhook, reason, self._waiting.pop(key))
