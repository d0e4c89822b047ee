"""The settings of all fault tests: a few lanes and short leases, so that a minute's recovery takes seconds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from core.runtime import Runtime
from tests.faults.rig import Workers, be_hasty
from tests.servers.fake_mta import FakeMta

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
