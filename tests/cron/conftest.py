"""A host with the probe addon."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cron.probe import write_addon


@pytest.fixture
def addons(tmp_path: Path) -> Path:
    return write_addon(tmp_path / "addons")


@pytest.fixture
def settings(addons: Path) -> dict[str, object]:
    return {"ADDONS": ["core", "probe"], "ADDONS_PATH": [str(addons)], "LEASE_SECONDS": 2, "CRON_POLL_SECONDS": 0.2}
