from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from core.testing import open_addon
from tests.servers.http_provider import HttpProvider, http_provider

FOLDER = Path(__file__).resolve().parents[1]


@pytest.fixture
async def host(database_url: str, tmp_path: Path) -> AsyncIterator[Any]:
    """A host with WhatsApp that really sends, to this machine at most."""
    values = {
        "VAR_DIR": str(tmp_path / "var"),
        "MAIL_MODE": "live",
        "PRIVATE_HOSTS_ALLOWED": ["127.0.0.0/8"],
        "BASE_URL": "https://office.example",
    }
    async with open_addon(FOLDER, database_url, demo=False, **values) as runtime:
        yield runtime


@pytest.fixture
async def gateway() -> AsyncIterator[HttpProvider]:
    """An HTTP provider that misbehaves on request."""
    async with http_provider() as server:
        yield server
