"""What follows a try to deliver a call: done, another try and when, or the end. Pure.

The times are those of Standard Webhooks ("Deliverability and reliability"), each with some jitter, so that what failed
together does not come back together.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

_DELAYS_S = (5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
MOST_ATTEMPTS = len(_DELAYS_S) + 1
_MOST_ASKED_S = 24 * 3600
_PAUSE_S = 5.0
_LONGEST_PAUSE_S = 300.0


class Next(StrEnum):
    """What becomes of a call."""

    DELIVERED = "delivered"
    AGAIN = "again"
    FAILED = "failed"
    GONE = "gone"
    """The receiver wants no more of any (410): the webhook is switched off, and its calls wait."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a call, and for `AGAIN` in how many seconds."""

    next: Next
    wait_s: float = 0.0


def after(status: int | None, attempts: int, asked_s: float | None = None) -> Verdict:
    """Judge the answer to the try number `attempts`, from 1; `status` is None where there was no answer.

    Only 2xx counts as delivered: a redirect is not followed, since it was not the operator who chose where it leads.
    `asked_s` is the receiver's own Retry-After.
    """
    if status is not None and 200 <= status < 300:
        return Verdict(Next.DELIVERED)
    if status == 410:
        return Verdict(Next.GONE)
    if attempts >= MOST_ATTEMPTS:
        return Verdict(Next.FAILED)
    wait_s = _DELAYS_S[attempts - 1] * random.uniform(1.0, 1.2)  # noqa: S311 - jitter
    return Verdict(Next.AGAIN, max(wait_s, min(asked_s or 0.0, _MOST_ASKED_S)))


def pause_s(failures: int) -> float:
    """Return how long a webhook is left alone after so many failures in a row, so that a dead one costs little."""
    return min(_PAUSE_S * 2.0 ** min(failures - 1, 10), _LONGEST_PAUSE_S)
