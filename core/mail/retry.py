"""What the end of a delivery attempt means, and when the next one is due.

Decides only; keeps no state, reads no clock. Reply codes are those of RFC 5321 section 4.2, of RFC 4954 section 6 for
authentication, and of RFC 3463 for the enhanced ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Phase(StrEnum):
    """How far an attempt came; the phase names the step whose answer was awaited when it ended."""

    CONNECT = "connect"
    GREETING = "greeting"
    EHLO = "ehlo"
    TLS = "tls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    """The DATA command and the content up to, but without, the final dot."""
    CONTENT = "content"
    """The final dot is, or may be, on the wire: only the reply tells whether the message was taken."""
    QUIT = "quit"


class Outcome(StrEnum):
    """What an attempt means for the recipient."""

    SENT = "sent"
    TEMPORARY = "temporary"
    """Refused for now: try this recipient again on its schedule."""
    PERMANENT = "permanent"
    """Refused for good."""
    SERVER = "server"
    """Not this message's fault: the server is paused, the message stays queued and burns no retry."""
    UNKNOWN = "unknown"
    """The link was lost between the dot and its answer: the policy `on_unknown` decides."""
    DROPPED = "dropped"
    """Not sent on purpose: the recipient must not be mailed, or the mail's time is over."""


_BEFORE_MAIL = frozenset({Phase.CONNECT, Phase.GREETING, Phase.EHLO, Phase.TLS, Phase.AUTH})
_OUR_ACCOUNT = frozenset({530, 534, 535, 538})
"""RFC 4954 section 6 lets a server refuse any command with these: they speak of our login, not of the recipient."""


def classify(phase: Phase, code: int | None, enhanced: str | None = None) -> Outcome:
    """Tell what it means that an attempt ended at `phase` with the reply `code` and enhanced code (`5.1.1`).

    `code` None is a lost link, a timeout, or an answer that is no SMTP reply. An attempt that went past the content's
    2xx (to QUIT) is sent, whatever happened then.
    """
    if phase is Phase.QUIT:
        return Outcome.SENT
    if phase is Phase.CONTENT:
        return _after_dot(code, enhanced)
    if phase in _BEFORE_MAIL or code == 421 or code in _OUR_ACCOUNT:
        return Outcome.SERVER
    if enhanced == "5.5.3":
        # Too many recipients (RFC 5321 section 4.5.3.1.10): this one may go in the next transaction.
        return Outcome.TEMPORARY
    return _refused(code) or Outcome.SERVER


def _after_dot(code: int | None, enhanced: str | None) -> Outcome:
    if code is not None and 200 <= code < 300:
        contradicts = enhanced is not None and not enhanced.startswith("2")
        return Outcome.UNKNOWN if contradicts else Outcome.SENT
    return _refused(code) or Outcome.UNKNOWN


def _refused(code: int | None) -> Outcome | None:
    if code is None:
        return None
    return {4: Outcome.TEMPORARY, 5: Outcome.PERMANENT}.get(code // 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrySchedule:
    """When a temporary failure is tried again.

    Without a `factor` the wait grows linearly: `first` x retry count. With one it grows exponentially from `first` and
    stays under `longest`. `jitter` is the share of the wait that chance may add or take away, 0 to 1. `lifetime` ends
    the retries however many are left.
    """

    first: timedelta = timedelta(minutes=5)
    max_retries: int = 3
    factor: float | None = None
    longest: timedelta = timedelta(hours=6)
    jitter: float = 0.0
    lifetime: timedelta | None = None


LINEAR = RetrySchedule()
"""The default: 5, 10 minutes and so on, given up at the third failure."""


def next_try_after(
    retry_count: int,
    schedule: RetrySchedule = LINEAR,
    *,
    age: timedelta = timedelta(0),
    chance: float = 0.5,
) -> timedelta | None:
    """Return how long to wait after the `retry_count`-th temporary failure (from 1), or None to give up.

    `age` is the time since the message was queued. `chance` is a number from 0 to 1 that the caller drew; 0.5 leaves
    the wait as it is.
    """
    if retry_count >= schedule.max_retries:
        return None
    wait = _wait(max(retry_count, 1), schedule) * (1 + schedule.jitter * (2 * chance - 1))
    if schedule.lifetime is not None and age + wait > schedule.lifetime:
        return None
    return wait


def _wait(retry_count: int, schedule: RetrySchedule) -> timedelta:
    if schedule.factor is None:
        return schedule.first * retry_count
    wait = schedule.first
    for _ in range(retry_count - 1):
        if wait >= schedule.longest:
            break
        wait *= schedule.factor
    return min(wait, schedule.longest)
