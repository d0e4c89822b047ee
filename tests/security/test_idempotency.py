"""W13: the same key with another body, a key of another user, ten at once with the same key: one effect."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from fastapi import Depends

from core.errors import UserError
from core.idempotency import earlier_outcome, let_go
from core.orm.database import Database
from core.runtime import Runtime, acting_as, get_model
from core.web.app import create_app
from core.web.idempotency import keyed
from tests.databases import both as database_url
from tests.web.conftest import World, address, ann, settings, world
from tests.web.program import program_of

__all__ = ["address", "ann", "database_url", "settings", "world"]
pytestmark = pytest.mark.anyio
TICKETS = "/api/records/Ticket"


def with_key(key: str) -> dict[str, str]:
    return {"Idempotency-Key": key}


async def tickets(name: str) -> int:
    return int(await get_model("Ticket").filter(name=name).count())


async def test_the_same_request_again_is_answered_as_before(ann: httpx2.AsyncClient) -> None:
    first = await ann.post(TICKETS, json={"name": "Once"}, headers=with_key("k1"))
    again = await ann.post(TICKETS, json={"name": "Once"}, headers=with_key("k1"))
    assert (first.status_code, again.status_code) == (201, 201), first.text
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert again.content == first.content
    for name in ("content-type", "location", "etag"):
        assert again.headers[name] == first.headers[name]
    assert await tickets("Once") == 1


async def test_ten_at_once_have_one_effect(ann: httpx2.AsyncClient) -> None:
    asked = [ann.post(TICKETS, json={"name": "Race"}, headers=with_key("race")) for _ in range(10)]
    answers = await asyncio.gather(*asked)
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("idempotency-replayed" in answer.headers for answer in answers) == 9
    assert await tickets("Race") == 1


async def test_another_request_with_the_same_key_is_refused(ann: httpx2.AsyncClient, world: World) -> None:
    await ann.post(TICKETS, json={"name": "Mine"}, headers=with_key("k"))
    others: list[tuple[str, str, Any]] = [
        ("POST", TICKETS, {"name": "Other"}),
        ("POST", TICKETS + "?x=1", {"name": "Mine"}),
        ("PATCH", f"{TICKETS}/{world.ticket.id}", {"name": "Mine"}),
    ]
    for method, path, body in others:
        answer = await ann.request(method, path, json=body, headers=with_key("k"))
        assert (answer.status_code, answer.json()["code"]) == (422, "key_mismatch"), path
    assert await tickets("Other") == 0


async def test_a_key_is_its_principal_s_own(address: str, ann: httpx2.AsyncClient) -> None:
    first = await ann.post(TICKETS, json={"name": "Same"}, headers=with_key("shared"))
    for login in ("eve", "ann"):  # Another user, and another token of the same one.
        async with program_of(address, login) as other:
            answer = await other.post(TICKETS, json={"name": "Same"}, headers=with_key("shared"))
            assert answer.status_code == 201
            assert "idempotency-replayed" not in answer.headers
            assert answer.json()["id"] != first.json()["id"]


async def test_what_was_refused_may_be_tried_again_with_its_key(ann: httpx2.AsyncClient) -> None:
    refused = await ann.post(TICKETS, json={"name": None}, headers=with_key("again"))
    assert refused.status_code == 422
    mended = await ann.post(TICKETS, json={"name": "Mended"}, headers=with_key("again"))
    assert (mended.status_code, await tickets("Mended")) == (201, 1)


async def test_a_deletion_is_repeated_too(ann: httpx2.AsyncClient, world: World) -> None:
    path = f"{TICKETS}/{world.ticket.id}"
    answers = [await ann.delete(path, headers=with_key("gone")) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [204, 204]
    assert (await ann.delete(path)).status_code == 404


@pytest.mark.parametrize("key", ['"8e03978e"', "8e03978e"])
async def test_a_key_may_stand_in_quotes(ann: httpx2.AsyncClient, key: str) -> None:
    await ann.post(TICKETS, json={"name": "Quoted"}, headers=with_key("8e03978e"))
    answer = await ann.post(TICKETS, json={"name": "Quoted"}, headers=with_key(key))
    assert answer.headers["idempotency-replayed"] == "true"


@pytest.mark.parametrize("key", [b"", b"x" * 203, b"\xe4", b"a\tb"])
async def test_what_is_no_key_is_refused(ann: httpx2.AsyncClient, key: bytes) -> None:
    answer = await ann.post(TICKETS, json={"name": "No"}, headers={b"idempotency-key": key})
    assert answer.status_code in (400, 422)
    assert await tickets("No") == 0


async def test_two_keys_are_refused(ann: httpx2.AsyncClient) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    answer = await ann.post(TICKETS, json={"name": "No"}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_idempotency_key")


async def test_a_key_is_forgotten_after_its_time(ann: httpx2.AsyncClient, host: Runtime) -> None:
    await ann.post(TICKETS, json={"name": "Old"}, headers=with_key("old"))
    await host.database.execute("UPDATE idempotency_key SET created_at = '2020-01-01 00:00:00+00:00'")
    answer = await ann.post(TICKETS, json={"name": "Old"}, headers=with_key("old"))
    assert (answer.status_code, await tickets("Old")) == (201, 2)


async def test_a_stranger_s_key_is_not_kept(address: str) -> None:
    async with httpx2.AsyncClient(base_url=address, verify=False) as stranger:
        answer = await stranger.post(TICKETS, json={"name": "x"}, headers=with_key("k"))
    assert answer.status_code == 401
    assert await get_model("IdempotencyKey").all().count() == 0


async def test_an_answer_with_a_secret_is_not_kept(address: str) -> None:
    async with httpx2.AsyncClient(base_url=address, verify=False) as browser:
        await browser.post("/api/auth/login", json={"login": "ann", "password": "secret"})
        wanted = {"name": "reports", "scopes": ["read"]}
        first = await browser.post("/api/auth/tokens", json=wanted, headers=with_key("t"))
        again = await browser.post("/api/auth/tokens", json=wanted, headers=with_key("t"))
    assert (first.status_code, again.status_code) == (201, 409), first.text
    assert again.json()["code"] == "answer_not_kept"
    assert await get_model("ApiToken").filter(name="reports").count() == 1
    assert first.json()["token"] not in str(await get_model("IdempotencyKey").all().values())


class Door:
    """An application with a path that works in no transaction, and what it is to do next."""

    def __init__(self) -> None:
        self.calls = 0
        self.go_on = asyncio.Event()
        self.refuses: Exception | None = None

    async def knock(self) -> dict[str, int]:
        self.calls += 1
        await self.go_on.wait()
        if self.refuses is not None:
            raise self.refuses
        return {"calls": self.calls}


@pytest.fixture
async def door(world: World) -> AsyncIterator[tuple[Door, httpx2.AsyncClient]]:
    door, app = Door(), create_app()
    app.add_api_route("/api/knock", door.knock, methods=["POST"], dependencies=[Depends(keyed("alone"))])
    user = await get_model("User").get(login="ann")
    _, text = await get_model("ApiToken").issue(user, "a program", ("read", "write"))
    headers = {"Authorization": f"Bearer {text}"}
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://desk.example", headers=headers) as client:
        yield door, client


async def test_a_path_outside_of_a_transaction_takes_its_key_first(door: tuple[Door, httpx2.AsyncClient]) -> None:
    at, client = door
    first = asyncio.create_task(client.post("/api/knock", headers=with_key("k")))
    while not at.calls:
        await asyncio.sleep(0.005)
    meanwhile = await client.post("/api/knock", headers=with_key("k"))
    assert (meanwhile.status_code, meanwhile.json()["code"]) == (409, "request_running")
    assert meanwhile.headers["retry-after"] == "1"
    at.go_on.set()
    assert (await first).json() == {"calls": 1}
    again = await client.post("/api/knock", headers=with_key("k"))
    assert (again.json(), again.headers["idempotency-replayed"], at.calls) == ({"calls": 1}, "true", 1)


async def test_there_a_refusal_frees_the_key_and_a_fault_does_not(door: tuple[Door, httpx2.AsyncClient]) -> None:
    at, client = door
    at.go_on.set()
    at.refuses = UserError("not now")
    assert (await client.post("/api/knock", headers=with_key("k"))).status_code == 422
    at.refuses = RuntimeError("nobody knows how far it came")
    assert (await client.post("/api/knock", headers=with_key("k"))).status_code == 500
    at.refuses = None
    assert (await client.post("/api/knock", headers=with_key("k"))).json()["code"] == "request_running"
    assert at.calls == 2


async def test_the_queue_s_own_keys_are_each_user_s(address: str, world: World) -> None:
    sent = []
    for login in ("ann", "eve"):
        with acting_as(await get_model("User").get(login=login)):
            sent.append(
                await get_model("Message").queue_email(
                    None, ["carla@example.org"], "Hi", "<p>x</p>", idempotency_key="invoice-7"
                )
            )
    assert sent[0].pk != sent[1].pk


async def test_a_key_that_is_let_go_meanwhile_may_be_taken(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await earlier_outcome("scope", "key", "one") is None
    fetch = Database.fetch

    async def fetch_late(database: Database, sql: str, values: Any = ()) -> Any:
        if sql.startswith("SELECT fingerprint"):
            await let_go("scope", "key")
        return await fetch(database, sql, values)

    monkeypatch.setattr(Database, "fetch", fetch_late)
    assert await earlier_outcome("scope", "key", "other") is None
