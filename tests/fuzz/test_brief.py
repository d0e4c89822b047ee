"""A little fuzzing with every run of the tests; `make fuzz` does more of it."""

from __future__ import annotations

from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.mutate import TOKENS, mutated
from tests.fuzz.oracle import check
from tests.fuzz.seeds import SEEDS


def test_every_seed_holds() -> None:
    for seed in SEEDS:
        check(seed)


@given(st.integers(0, 2**64))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_mutated_mail_breaks_what_must_hold(number: int) -> None:
    check(mutated(Random(number)))


@given(st.lists(st.sampled_from(TOKENS) | st.sampled_from(SEEDS), max_size=25).map(b"".join))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_pile_of_tokens_breaks_what_must_hold(raw: bytes) -> None:
    check(raw)
