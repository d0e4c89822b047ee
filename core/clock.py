"""The one clock of the process: aware UTC, and settable, so that tests move time instead of patching it.

Leases and due times are compared by the database's own clock (see `core.orm.database`); this clock serves dates that a
person or a mail header reads, and schedules. Durations and time-outs use the monotonic clock of the event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime


def _wall_clock() -> datetime:
    return datetime.now(UTC)


_source: ContextVar[Callable[[], datetime]] = ContextVar("postroom_clock", default=_wall_clock)


def now() -> datetime:
    """Return the current time, aware, in UTC."""
    return _source.get()()


@contextmanager
def clock_at(at: datetime | Callable[[], datetime]) -> Iterator[None]:
    """Within the block (and tasks started in it) `now()` answers `at`, or what calling `at` returns."""
    source = at if callable(at) else (lambda: at)
    token = _source.set(source)
    try:
        yield
    finally:
        _source.reset(token)


def span(seconds: float) -> str:
    """Return a length of time as people say it: `45 s`, `20 min`, `3 h`, `2 d`."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
