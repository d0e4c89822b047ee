"""What follows a try."""

from __future__ import annotations

import pytest

from core.webhooks.retry import MOST_ATTEMPTS, Next, after, pause_s


@pytest.mark.parametrize(
    ("status", "next_"),
    [
        (200, Next.DELIVERED),
        (204, Next.DELIVERED),
        (301, Next.AGAIN),
        (307, Next.AGAIN),
        (400, Next.AGAIN),
        (404, Next.AGAIN),
        (410, Next.GONE),
        (429, Next.AGAIN),
        (500, Next.AGAIN),
        (None, Next.AGAIN),
    ],
)
def test_what_an_answer_means(status: int | None, next_: Next) -> None:
    assert after(status, 1).next is next_


def test_the_schedule_is_that_of_the_specification() -> None:
    hours = [after(None, attempts).wait_s / 3600 for attempts in range(1, MOST_ATTEMPTS)]
    assert 5 <= hours[0] * 3600 <= 6
    assert 5 <= hours[1] * 60 <= 6
    assert 24 <= hours[-1] <= 28.8
    assert hours == sorted(hours)
    assert after(None, MOST_ATTEMPTS).next is Next.FAILED
    assert after(200, MOST_ATTEMPTS).next is Next.DELIVERED


def test_a_receiver_may_ask_for_more_time_but_not_for_ever() -> None:
    assert after(429, 1, 600.0).wait_s == 600
    assert after(503, 1, 1e9).wait_s == 24 * 3600
    assert after(503, 2, 1.0).wait_s >= 300


def test_a_dead_receiver_is_asked_ever_less_often() -> None:
    pauses = [pause_s(failures) for failures in range(1, 50)]
    assert pauses[0] == 5
    assert pauses[-1] == 300
    assert pauses == sorted(pauses)
