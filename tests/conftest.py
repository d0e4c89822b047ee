"""What every test may use: the async backend, the real servers, and an open host on either database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.config import load_configuration
from core.host.host import open_host
from core.host.install import update_schema
from core.runtime import Runtime
from tests.servers.postgres import Postgres

pytest_plugins = ["tests.servers.fixtures"]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database; a test that takes it runs once on each kind."""
    if request.param == "sqlite":
        return f"sqlite://{tmp_path}/postroom.db"
    server: Postgres = request.getfixturevalue("postgres")
    return server.create_database()


@pytest.fixture
def settings() -> dict[str, object]:
    """Configuration keys for `host`; a test module overrides this fixture to set its own."""
    return {}


@pytest.fixture
async def host(database_url: str, settings: dict[str, object], tmp_path: Path) -> AsyncIterator[Runtime]:
    """An open host with an up-to-date schema and no records but those that stand for models and addons."""
    configuration = load_configuration(
        environment={},
        overrides={"DATABASE_URL": database_url, "VAR_DIR": str(tmp_path / "var"), "ADDONS": ["core"], **settings},
    )
    async with open_host(configuration) as runtime:
        await update_schema(runtime)
        yield runtime
