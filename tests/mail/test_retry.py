"""What a reply means and when to try again: rows of the fault matrix (DELIVERY.md section 2.1)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mail.retry import Outcome, Phase, RetrySchedule, classify, next_try_after

BEFORE_DOT = [phase for phase in Phase if phase not in (Phase.CONTENT, Phase.QUIT)]


@pytest.mark.parametrize(
    ("phase", "code", "enhanced", "outcome"),
    [
        ("connect", None, None, "server"),  # 1
        ("greeting", 421, None, "server"),  # 2
        ("greeting", 554, None, "server"),
        ("ehlo", 421, None, "server"),  # 3
        ("tls", 454, None, "server"),  # 4
        ("tls", None, None, "server"),
        ("auth", 454, None, "server"),  # 5
        ("auth", 535, "5.7.8", "server"),
        ("mail", 450, None, "temporary"),  # 6
        ("mail", 451, "4.3.0", "temporary"),
        ("mail", 550, None, "permanent"),
        ("mail", 552, "5.3.4", "permanent"),
        ("mail", 530, "5.7.0", "server"),
        ("mail", 534, None, "server"),
        ("mail", 535, None, "server"),
        ("mail", 538, None, "server"),
        ("rcpt", 450, "4.2.0", "temporary"),  # 7
        ("rcpt", 550, "5.1.1", "permanent"),
        ("rcpt", 552, "5.2.2", "permanent"),
        ("rcpt", 552, "5.5.3", "temporary"),
        ("rcpt", 530, None, "server"),
        ("data", 451, None, "temporary"),  # 8
        ("data", 554, None, "permanent"),
        ("data", 550, None, "permanent"),
        ("content", 250, None, "sent"),
        ("content", 250, "2.0.0", "sent"),
        ("content", 451, None, "temporary"),  # 9
        ("content", 552, None, "permanent"),
        ("content", 554, "5.7.1", "permanent"),
        ("content", 421, None, "temporary"),
        ("content", None, None, "unknown"),  # 14, 15
        ("quit", 250, None, "sent"),  # 16
        ("quit", None, None, "sent"),
        ("content", 999, None, "unknown"),  # 17
        ("content", 250, "5.7.1", "unknown"),
        ("rcpt", 999, None, "server"),
        ("data", 250, None, "server"),
    ],
)
def test_the_fault_matrix(phase: str, code: int | None, enhanced: str | None, outcome: str) -> None:
    assert classify(Phase(phase), code, enhanced) is Outcome(outcome)


@pytest.mark.parametrize("phase", BEFORE_DOT)
@pytest.mark.parametrize("code", [None, 421])
def test_13_before_the_dot_a_lost_link_or_421_is_the_servers_fault(phase: Phase, code: int | None) -> None:
    assert classify(phase, code) is Outcome.SERVER


@given(st.sampled_from(BEFORE_DOT), st.none() | st.integers(0, 999), st.none() | st.text(max_size=5))
def test_nothing_before_the_dot_is_sent_or_unknown(phase: Phase, code: int | None, enhanced: str | None) -> None:
    assert classify(phase, code, enhanced) not in (Outcome.SENT, Outcome.UNKNOWN)


def test_the_default_is_linear_and_gives_up_at_three() -> None:
    waits = [next_try_after(count) for count in (1, 2, 3, 4)]
    assert waits == [timedelta(minutes=5), timedelta(minutes=10), None, None]


def test_exponential_waits_grow_to_the_longest() -> None:
    schedule = RetrySchedule(factor=2, max_retries=2000, longest=timedelta(hours=1))
    waits = [next_try_after(count, schedule) for count in (1, 2, 3, 4, 5, 1999)]
    assert waits == [timedelta(minutes=minutes) for minutes in (5, 10, 20, 40, 60, 60)]


def test_11_the_lifetime_ends_the_retries() -> None:
    schedule = RetrySchedule(max_retries=100, lifetime=timedelta(hours=1))
    assert next_try_after(1, schedule, age=timedelta(minutes=55)) == timedelta(minutes=5)
    assert next_try_after(1, schedule, age=timedelta(minutes=56)) is None


@given(st.integers(1, 50), st.floats(0, 1), st.floats(0, 1))
def test_jitter_stays_within_its_share(count: int, jitter: float, chance: float) -> None:
    schedule = RetrySchedule(max_retries=100, jitter=jitter)
    plain = timedelta(minutes=5) * count
    wait = next_try_after(count, schedule, chance=chance)
    assert wait is not None
    assert plain * (1 - jitter) - timedelta(seconds=1) <= wait <= plain * (1 + jitter) + timedelta(seconds=1)
