from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from core.testing import open_addon

FOLDER = Path(__file__).resolve().parents[1]


@pytest.fixture
async def host(database_url: str, tmp_path: Path) -> AsyncIterator[Any]:
    """A host with the CRM and its demo."""
    async with open_addon(FOLDER, database_url, VAR_DIR=str(tmp_path / "var")) as runtime:
        yield runtime
