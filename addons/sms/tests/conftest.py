from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.servers.http_provider import HttpProvider, http_provider


@pytest.fixture
def settings() -> dict[str, Any]:
    """A host with SMS that really sends, to this machine at most."""
    return {
        "ADDONS": ["sms"],
        "MAIL_MODE": "live",
        "PRIVATE_HOSTS_ALLOWED": ["127.0.0.0/8"],
        "BASE_URL": "https://office.example",
    }


@pytest.fixture
def seeds() -> str:
    return "data"


@pytest.fixture
async def gateway() -> AsyncIterator[HttpProvider]:
    """An HTTP provider that misbehaves on request."""
    async with http_provider() as server:
        yield server
