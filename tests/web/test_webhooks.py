"""Webhooks by the API and on their pages: for the operator alone, and a secret is told once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from core.runtime import get_model
from core.webhooks.courier import Courier
from tests.servers.http_provider import Answer, HttpProvider, http_provider
from tests.web.conftest import Visitor, World
from tests.web.program import program_of
from tests.webhooks.conftest import verified

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings(settings: dict[str, object]) -> dict[str, object]:
    return {**settings, "PRIVATE_HOSTS_ALLOWED": ("127.0.0.0/8",)}


@pytest.fixture
async def receiver() -> AsyncIterator[HttpProvider]:
    async with http_provider() as server:
        yield server


async def drain() -> None:
    async with Courier() as courier:
        await courier.drain()


async def test_a_program_makes_tries_and_mends_a_webhook(address: str, world: World, receiver: HttpProvider) -> None:
    async with program_of(address, "root", "read", "write", "admin") as program:
        wanted: dict[str, Any] = {"name": "billing", "url": receiver.url, "events": ["record.created"]}
        made = (await program.post("/api/records/Webhook", json=wanted)).json()
        assert "secret" not in made
        rotated = await program.post(f"/api/webhooks/{made['id']}/rotate-secret")
        assert rotated.headers["cache-control"] == "no-store"
        secret = rotated.json()["secret"]
        assert "whsec_" not in (await program.get(f"/api/records/Webhook/{made['id']}")).text
        test = await program.post(f"/api/webhooks/{made['id']}/test")
        assert (test.status_code, test.json()["state"], test.json()["event"]) == (202, "queued", "webhook.test")
        receiver.plan(Answer(410))
        await drain()
        assert verified(receiver.asked[0], secret)["type"] == "webhook.test"
        off = (await program.get(f"/api/records/Webhook/{made['id']}")).json()
        assert (off["active"], "410" in off["disabled_reason"]) == (False, True)
        refused = await program.post(f"/api/webhooks/{made['id']}/test")
        assert (refused.status_code, "switched off" in refused.json()["detail"]) == (422, True)
        await program.patch(f"/api/records/Webhook/{made['id']}", json={"active": True})
        await drain()
        (call,) = (await program.get(f"/api/webhooks/{made['id']}/calls")).json()["items"]
        assert (call["state"], call["attempts"], call["last_status"]) == ("delivered", 2, 200)
        again = await program.post(f"/api/webhooks/calls/{call['id']}/retry")
        assert (again.status_code, again.json()["state"]) == (202, "queued")
        await drain()
        assert len({one.headers["webhook-id"] for one in receiver.asked}) == 1
        wrong = await program.post("/api/records/Webhook", json={**wanted, "url": "gopher://127.0.0.1"})
        assert wrong.status_code == 422
        for path in ("test", "rotate-secret"):
            assert (await program.post(f"/api/webhooks/999/{path}")).status_code == 404
        assert (await program.post("/api/webhooks/calls/999/retry")).status_code == 404


async def test_pages_of_calls_follow_each_other(address: str, world: World) -> None:
    webhook = await get_model("Webhook").create(name="x", url="http://a.test", events=["record.created"])
    for _ in range(5):
        await webhook.test()
    async with program_of(address, "root", "read", "admin") as program:
        path = f"/api/webhooks/{webhook.pk}/calls"
        first = (await program.get(path, params={"limit": 3})).json()
        second = (await program.get(path, params={"limit": 3, "before": first["next_before"]})).json()
        assert (len(first["items"]), len(second["items"]), second["next_before"]) == (3, 2, None)


async def test_only_the_operator_may(address: str, world: World) -> None:
    webhook = await get_model("Webhook").create(name="x", url="http://a.test", events=["record.created"])
    call = await webhook.test()
    asked = [
        ("POST", f"/api/webhooks/{webhook.pk}/test"),
        ("POST", f"/api/webhooks/{webhook.pk}/rotate-secret"),
        ("GET", f"/api/webhooks/{webhook.pk}/calls"),
        ("POST", f"/api/webhooks/calls/{call.pk}/retry"),
    ]
    async with program_of(address, "ann") as ann, program_of(address, "root", "read", "write") as root:
        for method, path in asked:
            assert (await ann.request(method, path)).status_code == 403
            assert (await root.request(method, path)).status_code == 403  # The scope `admin` is missing.
        body = {"name": "x", "url": "https://evil.test", "events": ["message.sent"]}
        assert (await ann.post("/api/records/Webhook", json=body)).status_code == 403
    assert await get_model("Webhook").all().count() == 1


async def test_the_operator_s_pages(visitor: Visitor) -> None:
    webhook = await get_model("Webhook").create(name="Billing", url="http://a.test/x", events=["record.created"])
    call = await webhook.test()
    await get_model("WebhookCall").filter(id=call.pk).update(state="failed", last_error="It answered <500>.")
    root, ann = await visitor("root"), await visitor("ann")
    assert (await ann.get("/webhooks")).status_code == 403
    assert (await ann.get(f"/webhooks/{webhook.pk}")).status_code == 403
    page = (await root.get("/webhooks")).text
    assert "Billing" in page
    assert "whsec_" not in page
    page = (await root.get(f"/webhooks/{webhook.pk}")).text
    assert "It answered &lt;500&gt;." in page
    assert "whsec_" not in page
    assert (await root.post(f"/webhooks/calls/{call.pk}/retry")).status_code == 303
    assert (await root.post(f"/webhooks/{webhook.pk}/test")).status_code == 303
    assert await get_model("WebhookCall").filter(state="queued").count() == 2
    await root.post(f"/webhooks/{webhook.pk}/switch")
    assert not (await get_model("Webhook").get(id=webhook.pk)).active
    assert "switched off" in (await root.get(f"/webhooks/{webhook.pk}")).text
    await root.post(f"/webhooks/{webhook.pk}/switch")
    assert (await get_model("Webhook").get(id=webhook.pk)).active
