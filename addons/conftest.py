"""The shipped addons are tested on the same private servers as core."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["tests.servers.fixtures"]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database; a test that takes it runs once on each kind."""
    if request.param == "sqlite":
        return f"sqlite://{tmp_path}/addon.db"
    url: str = request.getfixturevalue("postgres_url")
    return url
