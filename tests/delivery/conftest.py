"""A host whose only server is scripted, and short words for what these tests do all the time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from types import ModuleType
from typing import Any

import pytest

from core.delivery.engine import Engine
from core.hookspecs import hookimpl
from core.runtime import Runtime, get_model
from tests.servers.fake_mta import FakeMta, Script

SENDER = "Postroom <office@acme.test>"


@pytest.fixture
def settings() -> dict[str, object]:
    return {
        "SMTP_CONCURRENCY": 4,
        "MAIL_DOMAIN": "acme.test",
        "MAIL_MODE": "live",
        "BASE_URL": "https://acme.test",
    }


@pytest.fixture
async def mta(host: Runtime) -> AsyncIterator[FakeMta]:
    async with FakeMta(Script()) as server:
        await get_model("OutgoingMailServer").create(name="fake", server="127.0.0.1", port=server.port, use_ssl=False)
        yield server


async def queue_mail(*to: str, **options: Any) -> Any:
    keywords = {"from_email": SENDER, "subject": "Invoice", "body": "<p>Hello Kim</p>", **options}
    recipients = to or ("kim@customer.test",)
    return await get_model("Message").queue_email(
        None, recipients, keywords.pop("subject"), keywords.pop("body"), **keywords
    )


async def drain() -> None:
    async with Engine() as engine:
        await engine.drain()


async def states(message: Any) -> dict[str, str]:
    rows = await get_model("Delivery").filter(message_id=message.pk).values("recipient", "state")
    return {row["recipient"]: row["state"] for row in rows}


def hook(host: Runtime, **functions: Callable[..., Awaitable[Any]]) -> None:
    """Load an addon that is nothing but these hooks."""
    module = ModuleType("an_addon")
    for name, function in functions.items():
        setattr(module, name, hookimpl(function))
    assert host.hooks.register("an_addon", module) is None
