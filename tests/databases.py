"""Which databases a test module runs on, where its room says otherwise: it imports one of these as `database_url`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.kept import lent_database


@pytest.fixture(params=["sqlite", "postgres"])
def both(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of an empty database, or of the one of `host`; a test that takes it runs once on each kind."""
    with lent_database(request) as url:
        yield url


@pytest.fixture
def sqlite_alone(tmp_path: Path) -> str:
    """The address of an empty SQLite database, for tests that ask nothing of databases."""
    return f"sqlite://{tmp_path}/postroom.db"
