"""The host that tests of core and of the shipped addons open, on either database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from core.config import load_configuration
from core.host.host import open_host
from core.host.install import seed, update, update_schema
from core.runtime import Runtime
from tests.databases import both as database_url
from tests.servers.kept import Kept, kind_of

__all__ = ["database_url"]

QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
"""One hash of the product's own takes two tenths of a second, and most tests ask for some."""


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def settings() -> dict[str, object]:
    """Configuration keys for `host`; a test module overrides this fixture to set its own."""
    return {}


@pytest.fixture
def seeds() -> str:
    """What `host` has of its addons' files; a test module overrides it.

    That is nothing, their `data`, their `demo` too, or of `core` alone its data.
    """
    return ""


@pytest.fixture
def kind(settings: dict[str, object], seeds: str) -> str:
    """What the databases of `host` have in common with those of other tests."""
    return kind_of(settings, seeds)


@pytest.fixture
async def host(
    database_url: str, settings: dict[str, object], seeds: str, tmp_path: Path, kept: Kept, kind: str
) -> AsyncIterator[Runtime]:
    """An open host with an up-to-date schema, its `seeds`, and the records that stand for models and addons."""
    is_full = kept.fill(database_url, kind)
    configuration = load_configuration(
        environment={},
        overrides={"DATABASE_URL": database_url, "VAR_DIR": str(tmp_path / "var"), "ADDONS": ["core"], **settings},
    )
    async with open_host(configuration) as runtime:
        runtime.hasher._argon2 = QUICK
        if not is_full:
            if seeds in ("data", "demo"):
                await update(runtime, demo=seeds == "demo")
            else:
                await update_schema(runtime)
            if seeds == "core":
                await seed(runtime, ["core"])
            kept.keep(database_url, kind)
        yield runtime
