from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from core.runtime import get_model
from tests.orm.statements import counted
from tests.web.conftest import Visitor, World

pytestmark = pytest.mark.anyio

Api = httpx2.AsyncClient


async def user(login: str) -> Any:
    return await get_model("User").get(login=login)


@pytest.fixture
async def api(visitor: Visitor) -> Api:
    """Ann's program."""
    _, text = await get_model("ApiToken").issue(await user("ann"), "queue", ["read", "mail", "write"])
    client = (await visitor()).client
    client.headers["Authorization"] = f"Bearer {text}"
    return client


@pytest.fixture
async def admin(visitor: Visitor) -> Api:
    """An operator's program."""
    _, text = await get_model("ApiToken").issue(await user("root"), "queue", ["read", "mail", "admin"])
    client = (await visitor()).client
    client.headers["Authorization"] = f"Bearer {text}"
    return client


async def posted(world: World, **options: Any) -> Any:
    """A mail of Ann's on the ticket."""
    return await world.ticket.post_message("<p>Hello.</p>", author=await user("ann"), subject="Chair", **options)


async def failed(message: Any) -> None:
    """Have each copy refused for good."""
    await get_model("Delivery").filter(message_id=message.pk).update(state="failed")
    for delivery in await get_model("Delivery").filter(message_id=message.pk):
        await get_model("Attempt").create(
            delivery=delivery, at=message.created_at, outcome="permanent", phase="rcpt", code=550, enhanced="5.1.1",
            reply="No such user", server="config", worker="w",
        )  # fmt: skip
    await get_model("Message").filter(id=message.pk).update(send_state="Failed", error="No such user")


async def ids(api: Api, **params: Any) -> list[int]:
    answer = await api.get("/api/queue/messages", params=params)
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.json()["items"]]


async def test_messages_are_found_by_what_is_known_of_them(api: Api, world: World) -> None:
    first = await posted(world)
    second = await posted(world, to=["Other@Example.org"], template="welcome")
    await failed(second)
    assert await ids(api) == [second.pk, first.pk]
    assert await ids(api, state="failed") == [second.pk]
    assert await ids(api, state="queued") == [first.pk]
    assert await ids(api, recipient="other@example.ORG") == [second.pk]
    assert await ids(api, server="config") == [second.pk]
    assert await ids(api, template="welcome") == [second.pk]
    assert await ids(api, model="Ticket", record_id=world.ticket.pk) == [second.pk, first.pk]
    assert await ids(api, model="Contact") == []
    assert await ids(api, since="2040-01-01T00:00:00Z") == []
    assert await ids(api, until="2040-01-01T00:00:00Z") == [second.pk, first.pk]


async def test_pages_follow_each_other(api: Api, world: World) -> None:
    made = [(await posted(world)).pk for _ in range(5)]
    seen: list[int] = []
    cursor: str | None = None
    while True:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await api.get("/api/queue/messages", params=params)).json()
        seen += [one["id"] for one in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == made[::-1]
    assert (await api.get("/api/queue/messages", params={"cursor": "5"})).status_code == 422


@pytest.mark.parametrize("path", ["/api/queue/messages", "/api/queue/deliveries"])
async def test_a_longer_page_takes_no_more_statements(api: Api, world: World, path: str) -> None:
    for _ in range(12):
        await posted(world)
    await asyncio.sleep(0.05)
    await ids(api)
    counts = []
    for limit in (2, 12):
        async with counted() as count:
            assert len((await api.get(path, params={"limit": limit})).json()["items"]) == limit
        counts.append(count.statements)
    assert counts[0] == counts[1] > 0


async def test_a_message_says_why_it_did_not_arrive(api: Api, world: World) -> None:
    message = await posted(world)
    await failed(message)
    told = (await api.get(f"/api/queue/messages/{message.pk}")).json()
    assert told["standing"].startswith("Given up: 0 of 1 delivered.")
    assert told["actions"] == ["retry"]
    (copy,) = told["deliveries"]
    assert copy["recipient"] == "carla@example.org"
    assert [(one["code"], one["reply"], one["phase"]) for one in copy["tries"]] == [(550, "No such user", "rcpt")]
    assert told["error"] == "No such user"
    assert told["model"] == "Ticket"


async def test_blind_copies_are_their_senders_alone(api: Api, admin: Api, visitor: Visitor, world: World) -> None:
    message = await world.ticket.post_message(
        "<p>x</p>", author=await user("root"), to=["open@example.org"], bcc=["secret@example.org"]
    )
    texts = [
        (await api.get(f"/api/queue/messages/{message.pk}")).text,
        (await api.get("/api/queue/deliveries")).text,
        (await api.get("/api/queue/messages", params={"recipient": "secret@example.org"})).text,
        (await api.get(f"/api/queue/messages/{message.pk}/message.eml")).text,
    ]
    assert all("secret" not in text for text in texts)
    assert "open@example.org" in texts[0]
    assert await ids(api, recipient="secret@example.org") == []
    answer = await api.get(f"/api/queue/messages/{message.pk}/message.eml", params={"recipient": "secret@example.org"})
    assert answer.status_code == 422
    assert await ids(admin, recipient="secret@example.org") == [message.pk]
    assert "secret@example.org" in (await admin.get(f"/api/queue/messages/{message.pk}")).text


async def test_the_mail_of_others_is_not_there(visitor: Visitor, world: World) -> None:
    message = await posted(world)
    for login, status in (("eve", 404), ("guest", 403), ("nora", 403)):
        browser = await visitor(login)
        assert (await browser.client.get(f"/api/queue/messages/{message.pk}")).status_code in (status, 404)
        listed = await browser.client.get("/api/queue/messages")
        assert listed.status_code == 403 or listed.json()["items"] == []
        copies = await browser.client.get("/api/queue/deliveries")
        assert copies.status_code == 403 or copies.json()["items"] == []


async def test_a_message_is_steered(api: Api, world: World) -> None:
    message = await posted(world)
    for action, state in (("hold", "held"), ("release", "queued"), ("cancel", "cancelled"), ("retry", "queued")):
        answer = await api.post(f"/api/queue/messages/{message.pk}/{action}")
        assert (answer.status_code, answer.json().get("state")) == (200, state), answer.text
    assert (await api.post(f"/api/queue/messages/{message.pk}/release")).status_code == 422
    assert (await api.post(f"/api/queue/messages/{message.pk}/explode")).status_code == 422
    assert [one.action for one in await get_model("AuditEntry").filter(action__startswith="mail_").order_by("id")] == [
        "mail_held", "mail_released", "mail_cancelled", "mail_retried",
    ]  # fmt: skip


async def test_a_message_that_waits_for_later_is_sent_at_once(api: Api, world: World) -> None:
    from datetime import UTC, datetime

    from core.delivery.engine import Engine

    message = await posted(world, scheduled_at=datetime(2040, 1, 1, tzinfo=UTC))
    assert (await api.post(f"/api/queue/messages/{message.pk}/send")).status_code == 200
    async with Engine() as engine:
        assert await engine.drain() == 1


async def test_many_are_steered_each_for_itself(api: Api, world: World) -> None:
    first, second = await posted(world), await posted(world)
    foreign = await world.foreign.post_message("<p>x</p>", author=await user("eve"), to=["a@example.org"])
    await failed(second)
    asked = {"action": "retry", "ids": [first.pk, second.pk, foreign.pk, 999_999, first.pk]}
    answer = await api.post("/api/queue/steer", json=asked)
    assert answer.status_code == 200, answer.text
    told = {one["id"]: one for one in answer.json()["items"]}
    assert [told[one]["status"] for one in (first.pk, second.pk, foreign.pk, 999_999)] == [200, 200, 404, 404]
    assert told[foreign.pk]["problem"]["code"] == "unknown_name"
    asked = {"action": "hold", "filter": {"state": "queued"}, "limit": 1}
    answer = await api.post("/api/queue/steer", json=asked)
    assert [one["id"] for one in answer.json()["items"]] == [first.pk]
    assert (await get_model("Message").get(id=foreign.pk)).send_state == "Queued"
    for wrong in ({"action": "hold"}, {"action": "hold", "ids": [1], "filter": {"state": "queued"}}, {"ids": [1]}):
        assert (await api.post("/api/queue/steer", json=wrong)).status_code == 422


async def test_steering_needs_the_scope_mail_and_the_right(visitor: Visitor, address: str, world: World) -> None:
    message = await posted(world)
    _, text = await get_model("ApiToken").issue(await user("ann"), "reader", ["read", "write"])
    async with httpx2.AsyncClient(base_url=address, headers={"Authorization": f"Bearer {text}"}, verify=False) as api:
        assert (await api.post(f"/api/queue/messages/{message.pk}/hold")).status_code == 403
        assert (await api.post("/api/queue/steer", json={"action": "hold", "ids": [message.pk]})).status_code == 403
        assert (await api.put("/api/queue/suspension", json={})).status_code == 403
    await get_model("ModelAccess").filter(model__identifier="Message").update(can_write=False)
    ann = await visitor("ann")
    headers = {"X-CSRF-Token": ann.token}
    answer = await ann.client.post(f"/api/queue/messages/{message.pk}/hold", headers=headers)
    assert answer.status_code == 403
    assert (await ann.client.get(f"/api/queue/messages/{message.pk}")).json()["actions"] == []
    answer = await ann.client.put("/api/queue/suspension", json={}, headers=headers)
    assert answer.status_code == 403


async def test_the_bytes_are_those_that_are_sent(api: Api, world: World) -> None:
    message = await posted(world)
    answer = await api.get(f"/api/queue/messages/{message.pk}/message.eml")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "message/rfc822"
    assert answer.content == await message.eml()
    draft = await api.get(f"/api/queue/messages/{message.pk}/message.eml", params={"draft": True})
    assert b"X-Unsent: 1" in draft.content
    note = await world.ticket.post_note("<p>Not a mail.</p>")
    assert (await api.get(f"/api/queue/messages/{note.pk}/message.eml")).status_code == 404


async def test_the_queue_is_stopped_and_started(admin: Api, api: Api, world: World) -> None:
    assert (await api.get("/api/queue/suspension")).json()["suspended"] is False
    answer = await admin.put("/api/queue/suspension", json={"reason": "The relay moves"})
    assert answer.status_code == 200, answer.text
    told = (await api.get("/api/queue/suspension")).json()
    assert (told["suspended"], told["reason"], told["user"]) == (True, "The relay moves", "Root")
    message = await posted(world)
    assert "The relay moves" in (await api.get(f"/api/queue/messages/{message.pk}")).json()["standing"]
    assert (await admin.delete("/api/queue/suspension")).json()["suspended"] is False


@pytest.mark.parametrize(
    "params",
    [
        {"record_id": 2**70},
        {"record_id": -1},
        {"state": "nonsense"},
        {"recipient": "a\x00b"},
        {"limit": 10_000},
        {"since": "yesterday"},
        {"cursor": "\udcff".encode("utf-8", "surrogatepass")},
    ],
)
async def test_nonsense_is_refused(api: Api, world: World, params: dict[str, Any]) -> None:
    answer = await api.get("/api/queue/messages", params=params)
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"
