"""Mail on the wire verifies, on every try; mail that must be signed and cannot be does not go."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import dkim
import pytest

from core import clock
from core.delivery.engine import Engine
from core.mail.dkim import Algorithm
from core.runtime import Runtime, get_model, runtime
from tests.servers.fake_mta import Act, FakeMta, Script

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings() -> dict[str, object]:
    return {"SMTP_CONCURRENCY": 2, "MAIL_DOMAIN": "acme.test", "MAIL_MODE": "live"}


@pytest.fixture
async def mta(host: Runtime) -> AsyncIterator[FakeMta]:
    refused_once = Script(recipients={"later@customer.test": (Act(reply="451 4.3.0 Later"), Act(reply="250 OK"))})
    async with FakeMta(refused_once) as server:
        servers = get_model("OutgoingMailServer")
        await servers.create(name="fake", server="127.0.0.1", port=server.port, use_ssl=False)
        yield server


async def _keys() -> dict[bytes, bytes]:
    """Make a key of each kind, and return what is published."""
    model = get_model("DkimKey")
    made = [await model.generate("acme.test", str(algorithm), algorithm) for algorithm in Algorithm]
    return {f"{key.record_name}.".encode(): key.record_text.encode() for key in made}


async def _queue(to: str, **options: Any) -> Any:
    body = "<p>Größe: 10 €</p>\n\n" + "x" * 2000 + "<p>.</p>"
    return await get_model("Message").queue_email(
        None, [to], "Rechnung", body, from_email="Zoë <office@news.acme.test>", **options
    )


async def _drain() -> None:
    async with Engine() as engine:
        await engine.drain()


def _verified(raw: bytes, published: dict[bytes, bytes]) -> list[bool]:
    mail = dkim.DKIM(raw)
    return [mail.verify(idx=index, dnsfunc=lambda name, timeout=5: published.get(name)) for index in range(2)]


async def test_what_arrives_verifies(host: Runtime, mta: FakeMta) -> None:
    published = await _keys()
    large = await get_model("Attachment").create(
        name="Größe.pdf", content_type="application/pdf", content=b"%PDF" * 400_000, size_bytes=1, sha256="0" * 64
    )
    queued = await _queue("kim@customer.test", attachments=[large])
    await _drain()
    (accepted,) = mta.ledger
    assert _verified(accepted.raw, published) == [True, True]
    assert accepted.raw == await queued.eml()


async def test_a_second_try_has_the_same_signatures(host: Runtime, mta: FakeMta) -> None:
    published = await _keys()
    queued = await _queue("later@customer.test")
    before = await queued.eml()
    await _drain()
    assert not mta.ledger
    await get_model("Delivery").all().update(due_at=clock.now() - timedelta(seconds=1))
    await _drain()
    (accepted,) = mta.ledger
    assert accepted.raw == before
    assert _verified(accepted.raw, published) == [True, True]


async def test_mail_is_not_sent_unsigned_where_its_domain_has_keys(host: Runtime, mta: FakeMta) -> None:
    await _keys()
    await runtime().database.fetch("UPDATE dkim_key SET private_key = 'gAAAAA-of-another-key'")
    queued = await _queue("kim@customer.test")
    await _drain()
    assert not mta.ledger
    await queued.refresh_from_db()
    assert queued.send_state != "Sent"
    assert "DKIM key rsa of acme.test" in queued.error
    assert queued.next_retry_at is not None
