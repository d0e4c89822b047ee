"""A host that may call this machine, a receiver that misbehaves on request, and a webhook between them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook as Receiver

from core.runtime import Runtime, get_model, runtime
from core.webhooks.courier import Courier
from core.webhooks.events import EVENTS
from tests.servers.http_provider import Asked, HttpProvider, http_provider


@pytest.fixture
def settings() -> dict[str, object]:
    return {
        "ADDONS": ["core", "crm"],
        "MAIL_MODE": "catch",
        "MAIL_DOMAIN": "acme.test",
        "PRIVATE_HOSTS_ALLOWED": ("127.0.0.0/8",),
    }


@pytest.fixture
async def receiver() -> AsyncIterator[HttpProvider]:
    async with http_provider() as server:
        yield server


@pytest.fixture
async def webhook(host: Runtime, receiver: HttpProvider) -> Any:
    return await listen(receiver)


async def listen(receiver: HttpProvider, **values: Any) -> Any:
    """Make a webhook that hears of everything."""
    return await get_model("Webhook").create(**{"name": "hook", "url": receiver.url, "events": list(EVENTS), **values})


async def drain() -> int:
    async with Courier() as courier:
        return await courier.drain()


async def let_time_pass() -> None:
    """Make every call due, and end every pause and every lease of the dead."""
    database = runtime().database
    past = database.dialect.now(-60)
    await database.execute(f"UPDATE webhook_call SET due_at = {past}")
    await database.execute(f"UPDATE webhook_call SET lease_until = {past} WHERE lease_until IS NOT NULL")
    await get_model("Webhook").all().update(paused_until=None)


async def states() -> list[str]:
    return list(await get_model("WebhookCall").all().order_by("id").values_list("state", flat=True))


def verified(asked: Asked, secret: str) -> Any:
    """Check a call as a receiver's own library does, and return what it says."""
    return Receiver(secret).verify(asked.body, dict(asked.headers))
