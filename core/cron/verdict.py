"""What the end of a run means for its job: when it is tried again, and when it is given up.

Decides only; reads no clock and no database.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

OFF_AFTER_FAILURES = 5
OFF_AFTER = timedelta(days=7)
LONGEST_WAIT = timedelta(hours=1)


class Outcome(StrEnum):
    """How a run ended."""

    DONE = "done"
    FAILED = "failed"
    """The method raised, or is no method that cron may call."""
    TIMEOUT = "timeout"
    """The method ran for longer than the job's `timeout_s` and was cancelled."""
    LOST = "lost"
    """The worker stopped answering; what the method did nobody knows."""
    STOPPED = "stopped"
    """The worker was told to end, and cancelled the method."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of one run."""

    outcome: Outcome
    items: int = 0
    more: bool = False
    """The method said that more work remains."""
    error: str = ""

    @property
    def leaves_job_due(self) -> bool:
        """Whether the instant that the run was for still has work to be done, at once."""
        return self.more or self.outcome in (Outcome.LOST, Outcome.STOPPED)


@dataclass(frozen=True, slots=True)
class Health:
    """A job's failures in a row, and since when."""

    failure_count: int = 0
    failing_since: datetime | None = None

    def after(self, outcome: Outcome, at: datetime) -> Health:
        """Return the health after a run that ended at `at`: a success forgets all, a stop changes nothing."""
        if outcome is Outcome.DONE:
            return Health()
        if outcome is Outcome.STOPPED:
            return self
        return Health(self.failure_count + 1, self.failing_since or at)

    def retry_wait(self) -> timedelta:
        """Return how long to wait after the last failure: 2, 4, 8 minutes and so on, at most an hour."""
        return min(timedelta(minutes=2 ** min(self.failure_count, 10)), LONGEST_WAIT)

    def is_hopeless(self, at: datetime) -> bool:
        """Whether the job has failed often enough, for long enough, to be switched off."""
        if self.failure_count < OFF_AFTER_FAILURES or self.failing_since is None:
            return False
        return at - self.failing_since >= OFF_AFTER
