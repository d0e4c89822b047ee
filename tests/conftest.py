"""What every test may use: the async backend, the real servers, and an open host on either database."""

from __future__ import annotations

import gc
import os
from collections.abc import AsyncIterator, Generator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import structlog

from core.config import load_configuration
from core.host.host import open_host
from core.host.install import update_schema
from core.runtime import Runtime
from tests.databases import both as database_url
from tests.servers.daemon import ServerMissingError
from tests.servers.kept import Kept, kind_of

__all__ = ["database_url"]
pytest_plugins = ["tests.servers.fixtures"]


def _skip_without_server() -> Generator[None, Any, Any]:
    """A server that this machine does not have is a skip that names its package."""
    try:
        return (yield)
    except ServerMissingError as missing:
        pytest.skip(str(missing))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, Any, Any]:
    return (yield from _skip_without_server())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    return (yield from _skip_without_server())


def pytest_configure() -> None:
    """Let no property fail for a busy machine's sake, and write traces as they are.

    The default draws boxes round every variable, which takes a second for each trace.
    """
    patient = [hypothesis.HealthCheck.too_slow]
    hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=patient)
    hypothesis.settings.load_profile("patient")
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.dev.set_exc_info,
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=True),
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
        ]
    )


def pytest_collection_finish() -> None:
    """Look for no garbage in what was collected: it stays, and it is much."""
    gc.freeze()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """With NO_SKIP=1, as continuous integration runs, a skipped test fails the whole run."""
    reporter = session.config.pluginmanager.getplugin("terminalreporter")
    if os.environ.get("NO_SKIP") == "1" and reporter is not None and reporter.stats.get("skipped"):
        reporter.write_line("Tests were skipped, and NO_SKIP=1 allows none.", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def settings() -> dict[str, object]:
    """Configuration keys for `host`; a test module overrides this fixture to set its own."""
    return {}


@pytest.fixture
def kind(settings: dict[str, object]) -> str:
    """What the databases of `host` have in common with those of other tests."""
    return kind_of(settings)


@pytest.fixture
async def host(
    database_url: str, settings: dict[str, object], tmp_path: Path, kept: Kept, kind: str
) -> AsyncIterator[Runtime]:
    """An open host with an up-to-date schema and no records but those that stand for models and addons."""
    is_full = kept.fill(database_url, kind)
    configuration = load_configuration(
        environment={},
        overrides={"DATABASE_URL": database_url, "VAR_DIR": str(tmp_path / "var"), "ADDONS": ["core"], **settings},
    )
    async with open_host(configuration) as runtime:
        if not is_full:
            await update_schema(runtime)
            kept.keep(database_url, kind)
        yield runtime
