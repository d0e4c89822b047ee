"""Whose turn it is: mail for a server that has some waiting steps aside, unless it is more urgent."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import pytest

from core.delivery import backlog
from core.delivery.backlog import BUSY_S, Backlog
from core.delivery.job import Claimed, Job
from core.delivery.outgoing import Outgoing

_OUTGOING = object.__new__(Outgoing)


def _jobs(*priorities: int) -> deque[Job]:
    rows = (Claimed(number, number, "kim@b.test", 0, priority=one) for number, one in enumerate(priorities))
    return deque(Job("token", _OUTGOING, (row,)) for row in rows)


def _waits(of: Backlog, shares: Iterable[deque[Job]]) -> list[float]:
    waits = []
    for jobs in shares:
        with of.share(jobs) as wait_s:
            waits.append(wait_s)
    return waits


def test_mail_goes_on_where_all_that_is_held_is_begun() -> None:
    of = Backlog()
    with of.share(held := _jobs(10)) as wait_s:
        assert (wait_s, of.is_begun) == (0, False)
        held.clear()
        assert of.is_begun
        assert _waits(of, [_jobs(10)]) == [0]


def test_mail_steps_aside_one_claim_after_the_other_and_not_for_ever() -> None:
    of = Backlog()
    with of.share(_jobs(10)):
        waits = _waits(of, [_jobs(10) for _ in range(40)])
        assert waits[:3] == pytest.approx([0.25, 0.5, 0.75], abs=0.05)
        assert waits[-1] == BUSY_S
    assert _waits(of, [_jobs(10)]) == [0]


def test_more_urgent_mail_does_not_step_aside() -> None:
    of = Backlog()
    with of.share(_jobs(10, 20)):
        assert _waits(of, [_jobs(5, 20)]) == [0]
        assert _waits(of, [_jobs(10)])[0] > 0
        with of.share(_jobs(5)):
            assert _waits(of, [_jobs(5)])[0] > 0


def test_equal_shares_are_told_apart() -> None:
    of, one, other = Backlog(), _jobs(10), _jobs(10)
    with of.share(one):
        with of.share(other):
            pass
        assert not of.is_begun


def test_a_server_that_keeps_all_waiting_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "_MOST_SHARES", 2)
    of, empty = Backlog(), deque[Job]()
    with of.share(empty), of.share(deque(empty)):
        assert _waits(of, [_jobs(1)]) == [BUSY_S]
