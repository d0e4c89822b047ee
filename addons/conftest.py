"""The shipped addons are tested on the same private servers as core, and on hosts with their demo."""

from __future__ import annotations

import pytest

pytest_plugins = ["tests.servers.fixtures", "tests.hosts"]


@pytest.fixture
def seeds() -> str:
    return "demo"
