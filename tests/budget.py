"""What something may take of a core, whatever else the machine does meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import process_time

_QUIET_S = 0.005
"""What `_known_work` takes of a core that does nothing else."""


@contextmanager
def within(budget_s: float) -> Iterator[None]:
    """Fail where the block takes more CPU than this; a core that is slower just now than a quiet one may take more."""
    before_s = _known_work()
    started = process_time()
    yield
    taken_s = process_time() - started
    slowed = max(_QUIET_S, before_s, _known_work()) / _QUIET_S
    assert taken_s < budget_s * slowed, f"it took {taken_s:.2f} s of {budget_s} s, on a core {slowed:.1f} times slowed"


def _known_work() -> float:
    started = process_time()
    words = [str(number * number) for number in range(20_000)]
    assert len(" ".join(words).split()) == len(set(words))
    return process_time() - started
