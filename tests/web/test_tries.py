from __future__ import annotations

import pytest

from core.web.errors import TooManyTries
from core.web.tries import Tries


def test_the_window_slides() -> None:
    now = 0.0
    tries = Tries(limit=2, window_s=60, clock=lambda: now)
    tries.count("ann")
    now = 30
    tries.count("ann")
    with pytest.raises(TooManyTries) as refused:
        tries.count("ann")
    assert refused.value.wait_s == 30
    tries.count("eve")
    now = 61
    tries.count("ann")


def test_a_success_forgets_and_old_keys_go() -> None:
    tries = Tries(limit=1, most_keys=2)
    tries.count("ann")
    tries.forget("ann")
    for key in ("ann", "bob", "eve"):
        tries.count(key)
    tries.count("ann")
