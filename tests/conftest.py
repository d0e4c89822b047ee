"""What holds for all tests; what they may use is in `tests.servers.fixtures` and `tests.hosts`."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator
from typing import Any

import hypothesis
import pytest
import structlog

from tests.servers.daemon import ServerMissingError
from tests.shared_filters import share_filters

pytest_plugins = ["tests.servers.fixtures", "tests.hosts"]


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
    share_filters()
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
    """Look for no garbage in what was collected: it stays, and it is much.

    And seldom look through everything: each host that was closed leaves some 100,000 objects, so that a search after
    every few of them takes a third of the whole time.
    """
    gc.freeze()
    gc.set_threshold(50_000, 5, 8)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """With NO_SKIP=1, as continuous integration runs, a skipped test fails the whole run."""
    reporter = session.config.pluginmanager.getplugin("terminalreporter")
    if os.environ.get("NO_SKIP") == "1" and reporter is not None and reporter.stats.get("skipped"):
        reporter.write_line("Tests were skipped, and NO_SKIP=1 allows none.", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
