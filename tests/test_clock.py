from __future__ import annotations

import pytest

from core.clock import span


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (45, "45 s"), (1200, "20 min"), (10_800, "3 h"), (190_000, "2 d")],
)
def test_a_length_of_time_is_said_as_people_say_it(seconds: float, said: str) -> None:
    assert span(seconds) == said
