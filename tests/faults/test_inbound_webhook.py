"""F45: a provider that brings a mail again and again, a server killed between the commit and its answer, cut bodies."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from core.runtime import Runtime, get_model
from tests.acceptance.command import Postroom, Running
from tests.faults.rig import until

pytestmark = pytest.mark.anyio

PATH = "/api/email/webhook/receive"
SECRET = {"x-webhook-secret": "brought"}
MAIL = b"From: ada@customer.test\r\nTo: leads@acme.test\r\nMessage-ID: <1@customer.test>\r\n\r\nHello\r\n"


@pytest.fixture
def site(host: Runtime, tmp_path: Path) -> Postroom:
    """The open host's database, as another process serves it."""
    keys = {"DATABASE_URL": host.settings.DATABASE_URL, "VAR_DIR": host.settings.VAR_DIR, "ADDONS": ["core"]}
    return Postroom(tmp_path / "site", **keys, HTTP_PORT=0, MAIL_DOMAIN="acme.test", WEBHOOK_SECRET="brought")


@pytest.fixture
def server(site: Postroom) -> Iterator[Running]:
    running = site.start("serve")
    yield running
    running.kill()


async def rows() -> int:
    return int(await get_model("InboundEmail").all().count())


async def bring(address: str, content: bytes = MAIL) -> int:
    async with httpx2.AsyncClient(timeout=30) as client:
        return int((await client.post(address + PATH, content=content, headers=SECRET)).status_code)


async def begin(address: str, length: int, content: bytes) -> asyncio.StreamWriter:
    """Send a request that says how long its body is, and what there is of it."""
    place = urlsplit(address)
    _, writer = await asyncio.open_connection(place.hostname, place.port)
    head = f"POST {PATH} HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Type: message/rfc822\r\n"
    head += f"X-Webhook-Secret: brought\r\nContent-Length: {length}\r\n\r\n"
    writer.write(head.encode() + content)
    await writer.drain()
    return writer


async def test_f45_brought_again_and_thirty_at_once(server: Running) -> None:
    address = await asyncio.to_thread(server.address)
    assert set(await asyncio.gather(*(bring(address) for _ in range(30)))) == {200}
    for _ in range(10):
        assert await bring(address) == 200
    assert await rows() == 1


async def test_f45_killed_between_the_commit_and_the_answer(site: Postroom, server: Running) -> None:
    """Whoever got no answer brings the mail again, and it is known."""
    address = await asyncio.to_thread(server.address)
    writer = await begin(address, len(MAIL), MAIL)
    await until(rows, "the row")
    server.kill()
    writer.close()
    again = site.start("serve")
    try:
        address = await asyncio.to_thread(again.address)
        assert await bring(address) == 200
    finally:
        again.kill()
    assert await rows() == 1


async def test_f45_a_body_that_is_cut_is_no_mail(server: Running) -> None:
    address = await asyncio.to_thread(server.address)
    writer = await begin(address, len(MAIL) + 10, MAIL)
    await asyncio.sleep(0.05)
    writer.close()
    writer = await begin(address, 10**12, MAIL)
    await asyncio.sleep(0.05)
    writer.close()
    assert await bring(address, MAIL.replace(b"<1@", b"<2@")) == 200
    assert await rows() == 1
