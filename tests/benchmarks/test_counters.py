"""The counters that hold on any machine, as a gate."""

from __future__ import annotations

import pytest

from tests.benchmarks.counters import counted

pytestmark = pytest.mark.anyio


async def test_a_mail_costs_one_round_trip_and_shares_its_commits() -> None:
    statements, round_trips = [row.value async for row in counted()]
    assert statements <= 700
    assert round_trips <= 1.1
