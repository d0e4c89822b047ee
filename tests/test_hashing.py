"""The hash of secrets, as the product makes it: other tests use a quick one."""

from __future__ import annotations

import pytest
from argon2 import extract_parameters
from argon2.low_level import Type

from core.hashing import Hasher

pytestmark = pytest.mark.anyio


async def test_a_hash_is_as_slow_as_it_should_be() -> None:
    """At least the second choice of RFC 9106, section 4."""
    hasher = Hasher()
    stored = await hasher.hash("correct horse battery staple")
    strength = extract_parameters(stored)
    assert strength.type is Type.ID
    assert (strength.memory_cost, strength.time_cost, strength.hash_len) >= (65536, 3, 32)
    assert await hasher.matches(stored, "correct horse battery staple")
    assert not await hasher.matches(stored, "correct horse battery stapl")
    assert not await hasher.matches("", "")
    hasher.close()
