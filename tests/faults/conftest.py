"""The settings of all fault tests: a few lanes and short leases, so that a minute's recovery takes seconds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from core.runtime import Runtime
from tests.faults.rig import Workers, be_hasty
from tests.servers.fake_mta import FakeMta
from tests.servers.kept import lent_database
from tests.servers.postgres import Postgres

LANES = 4
LEASE_S = 2


@pytest.fixture
def settings() -> dict[str, object]:
    return {
        "MAIL_MODE": "live",
        "MAIL_DOMAIN": "acme.test",
        "SMTP_CONCURRENCY": LANES,
        "LEASE_SECONDS": LEASE_S,
        "CRON_POLL_SECONDS": 0.2,
    }


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Network deadlines of fractions of a second."""
    be_hasty(monkeypatch)


@pytest.fixture(scope="session")
def mortal_server() -> Iterator[Postgres]:
    """A PostgreSQL that tests may stop, cut off and start again."""
    with Postgres() as server:
        yield server


@pytest.fixture
def mortal(request: pytest.FixtureRequest) -> Postgres:
    """The server under the host's database, for tests that run on PostgreSQL alone."""
    server: Postgres = request.getfixturevalue("mortal_server")
    if server.process is None:
        server.start()
    return server


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a database of each kind, on the mortal server for a test that asks for that."""
    with lent_database(request, "mortal" if "mortal" in request.fixturenames else "postgres") as url:
        yield url


on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
on_postgres = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)


class MakeWorkers(Protocol):
    def __call__(self, mta: FakeMta, **keys: object) -> Workers: ...


@pytest.fixture
def workers(host: Runtime, tmp_path: Path) -> Iterator[MakeWorkers]:
    """Makes worker processes that send through a fake server; none of them outlives its test."""
    made: list[Workers] = []

    def make(mta: FakeMta, **keys: object) -> Workers:
        made.append(Workers(host, tmp_path / f"workers{len(made)}", mta.port, **keys))
        return made[-1]

    yield make
    for one in made:
        one.end()
