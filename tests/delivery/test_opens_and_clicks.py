"""A mail's pixel and link, taken out of the bytes that left and asked for at once by a plain HTTP client."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from email import message_from_bytes, policy
from html import unescape
from typing import Any

import httpx2
import pytest

from core.runtime import Runtime, get_model
from tests.delivery.conftest import drain, queue_mail
from tests.servers.fake_mta import FakeMta
from tests.servers.free_port import free_port
from tests.web.served import served

pytestmark = pytest.mark.anyio

IDENTIFIER = "abc123def456"
TARGET = "https://shop.example/offer?a=1&b=2"
BODY = f'<p>See <a href="{TARGET.replace("&", "&amp;")}">our offer</a>.</p>'


@pytest.fixture
def settings() -> dict[str, object]:
    port = free_port()
    return {
        "MAIL_DOMAIN": "acme.test",
        "MAIL_MODE": "live",
        "BASE_URL": f"http://127.0.0.1:{port}",
        "HTTP_PORT": port,
    }


@pytest.fixture
async def client(host: Runtime, settings: dict[str, Any]) -> AsyncIterator[httpx2.AsyncClient]:
    async with served(settings["HTTP_PORT"]), httpx2.AsyncClient(base_url=settings["BASE_URL"]) as client:
        yield client


async def counted(message: Any, opens: int, clicks: int) -> bool:
    """Tell whether a message shows these counts within a second."""
    for _ in range(25):
        await message.refresh_from_db()
        if (message.open_count, message.click_count) == (opens, clicks):
            return True
        await asyncio.sleep(0.04)
    return False


async def test_what_left_is_opened_and_followed(host: Runtime, mta: FakeMta, client: httpx2.AsyncClient) -> None:
    message = await queue_mail(body=BODY, tracking_identifier=IDENTIFIER)
    await drain()
    (accepted,) = mta.ledger
    part = message_from_bytes(accepted.raw, policy=policy.default).get_body(("html",))
    assert part is not None
    html = part.get_content()
    (pixel,) = re.findall(r'<img src="([^"]+)"', html)
    (link,) = map(unescape, re.findall(r'<a href="([^"]+)"', html))

    assert (await client.get(pixel)).headers["content-type"] == "image/gif"
    assert await counted(message, 1, 0)
    answer = await client.get(link)
    assert (answer.status_code, answer.headers["location"]) == (302, TARGET)
    assert await counted(message, 1, 1)
    assert message.opened_at <= message.clicked_at
    delivery = await get_model("Delivery").get(message_id=message.pk)
    assert (delivery.open_count, delivery.click_count) == (1, 1)


async def test_a_message_s_identifier_counts_too(host: Runtime, mta: FakeMta, client: httpx2.AsyncClient) -> None:
    message = await queue_mail(body=BODY, tracking_identifier=IDENTIFIER)
    await drain()
    assert (await client.get(f"/api/email/track/open/{IDENTIFIER}")).status_code == 200
    answer = await client.get(f"/api/email/track/click/{IDENTIFIER}", params={"url": TARGET})
    assert (answer.status_code, answer.headers["location"]) == (302, TARGET)
    assert await counted(message, 1, 1)
    assert message.opened_at <= message.clicked_at
