from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from core.cron.verdict import LONGEST_WAIT, Ended, Health, Outcome

NOON = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


def test_the_wait_doubles_up_to_an_hour() -> None:
    waits = [Health(count).retry_wait() / timedelta(minutes=1) for count in (1, 2, 3, 5, 6)]
    assert waits == [2, 4, 8, 32, 60]


@given(st.integers(1, 10**9))
def test_the_wait_is_bounded(failures: int) -> None:
    assert timedelta(minutes=2) <= Health(failures).retry_wait() <= LONGEST_WAIT


@given(st.lists(st.sampled_from(Outcome)))
def test_only_failures_since_the_last_success_count(outcomes: list[Outcome]) -> None:
    health = Health()
    for number, outcome in enumerate(outcomes):
        health = health.after(outcome, NOON + timedelta(minutes=number))
    since = outcomes[len(outcomes) - outcomes[::-1].index(Outcome.DONE) :] if Outcome.DONE in outcomes else outcomes
    failures = [outcome for outcome in since if outcome is not Outcome.STOPPED]
    assert health.failure_count == len(failures)
    assert (health.failing_since is None) == (not failures)


def test_hopeless_needs_five_failures_and_seven_days() -> None:
    week_ago = NOON - timedelta(days=7)
    assert Health(5, week_ago).is_hopeless(NOON)
    assert not Health(4, week_ago).is_hopeless(NOON)
    assert not Health(5, week_ago + timedelta(seconds=1)).is_hopeless(NOON)
    assert not Health().is_hopeless(NOON)


def test_what_leaves_a_job_due() -> None:
    assert Ended(Outcome.DONE, more=True).leaves_job_due
    assert {outcome for outcome in Outcome if Ended(outcome).leaves_job_due} == {Outcome.LOST, Outcome.STOPPED}
