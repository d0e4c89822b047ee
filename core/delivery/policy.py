"""What the configuration says of retries, for mail of each priority."""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache
from typing import Literal

from core.config.settings import RetryRule
from core.mail.retry import RetrySchedule
from core.runtime import settings

_FACTOR = 2.0


def retry_schedule(lane: int, max_retries: int | None = None) -> RetrySchedule:
    """Return how mail of this priority number is tried again; `max_retries` is the message's own, where it has one."""
    values = settings()
    rule = values.RETRY_BY_PRIORITY.get(_class_of(lane)) or _no_rule()
    lifetime_hours = values.RETRY_LIFETIME_HOURS if rule.lifetime_hours is None else rule.lifetime_hours
    if max_retries is None:
        max_retries = values.MAX_RETRIES if rule.max_retries is None else rule.max_retries
    return RetrySchedule(
        first=timedelta(minutes=rule.minutes or values.RETRY_MINUTES),
        max_retries=max_retries,
        factor=_FACTOR if (rule.schedule or values.RETRY_SCHEDULE) == "exponential" else None,
        longest=timedelta(minutes=rule.longest_minutes or values.RETRY_LONGEST_MINUTES),
        jitter=values.RETRY_JITTER if rule.jitter is None else rule.jitter,
        lifetime=timedelta(hours=lifetime_hours) if lifetime_hours else None,
    )


def _class_of(lane: int) -> Literal["high", "normal", "low"]:
    return "normal" if lane == 10 else "high" if lane < 10 else "low"


@lru_cache(maxsize=1)
def _no_rule() -> RetryRule:
    return RetryRule()
