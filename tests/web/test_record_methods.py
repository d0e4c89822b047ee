"""Which methods a program may call, what they take, and what they answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum

import httpx2
import pytest

from core.access import Right
from core.access.method import api_method
from core.runtime import Runtime, get_model
from core.web.record_methods import api_methods, plain_result
from tests.web.conftest import World
from tests.web.program import program_of

pytestmark = pytest.mark.anyio


async def test_a_marked_method_is_called_with_its_arguments(ann: httpx2.AsyncClient, world: World) -> None:
    path = f"/api/records/Ticket/{world.ticket.id}/call/close"
    answer = await ann.post(path, json={"reason": "mended", "hours": "1.5"})
    assert (answer.status_code, answer.json()) == (
        200,
        {"result": {"ticket": {"id": world.ticket.id, "display_name": "Broken chair"}, "hours": "1.5", "by": "Ann"}},
    ), answer.text
    assert (await get_model("Ticket").get(id=world.ticket.id)).stage == "done"
    assert (await ann.post(path)).status_code == 422, "it needs a reason"
    for wrong, pointer in (
        ({"reason": 5}, "/reason"),
        ({"reason": "x", "hours": "x"}, "/hours"),
        ({"nope": 1}, "/nope"),
    ):
        answer = await ann.post(path, json=wrong)
        assert pointer in [one["pointer"] for one in answer.json()["faults"]], answer.text


async def test_a_method_of_the_model_needs_no_record(ann: httpx2.AsyncClient) -> None:
    assert (await ann.post("/api/records/Ticket/call/open_count")).json() == {"result": 2}
    assert (await ann.post("/api/records/Ticket/call/close", json={"reason": "x"})).status_code == 404
    assert (await ann.post("/api/records/Ticket/1/call/open_count")).status_code == 404


@pytest.mark.parametrize(
    "name", ["save", "delete", "post_message", "__init__", "_close", "filter", "raw", "plain", "secret", "pk", "_meta"]
)
async def test_what_is_not_marked_is_not_there(ann: httpx2.AsyncClient, world: World, name: str) -> None:
    for path in (f"/api/records/Ticket/{world.ticket.id}/call/{name}", f"/api/records/Ticket/call/{name}"):
        assert (await ann.post(path, json={})).status_code in (404, 422)


async def test_a_method_is_called_on_ones_own_records(address: str, ann: httpx2.AsyncClient, world: World) -> None:
    assert (
        await ann.post(f"/api/records/Ticket/{world.foreign.id}/call/close", json={"reason": "x"})
    ).status_code == 404
    async with program_of(address, "nora") as nora:
        assert (await nora.post("/api/records/Ticket/call/open_count")).status_code == 403
    async with program_of(address, "ann", "read") as reader:
        path = f"/api/records/Ticket/{world.ticket.id}/call/close"
        assert (await reader.post(path, json={"reason": "x"})).status_code == 403


async def test_a_method_may_need_a_scope(address: str, world: World) -> None:
    message = await world.ticket.post_message("<p>x</p>")
    path = f"/api/records/Message/{message.id}/call"
    async with program_of(address, "ann", "read", "write") as client:
        answer = await client.post(f"{path}/hold")
        assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")
    async with program_of(address, "ann") as client:
        assert (await client.post(f"{path}/hold")).json() == {"result": None}
        assert (await client.post(f"{path}/hold")).status_code == 422, "it is held already"
        assert (await client.post(f"{path}/release")).status_code == 200


async def test_every_marked_method_can_be_described(host: Runtime) -> None:
    named = {f"{entry.name}.{name}" for entry in host.registry for name in api_methods(get_model(entry.name))}
    assert {"Message.action_retry", "OutgoingMailServer.test_connection", "Activity.finish"} <= named
    for entry in host.registry:
        for method in api_methods(get_model(entry.name)).values():
            method.arguments.model_json_schema()


def test_an_override_stays_marked() -> None:
    class Base:
        @api_method(right=Right.READ)
        async def go(self, far: int) -> None: ...

    class Extended(Base):
        async def go(self, far: int, fast: bool = False) -> None: ...

    method = api_methods(Extended)["go"]
    assert (method.right, set(method.arguments.model_fields)) == (Right.READ, {"far", "fast"})


def test_results_are_plain() -> None:
    class Colour(StrEnum):
        RED = "red"

    @dataclass
    class Pair:
        left: Decimal
        right: timedelta

    told = plain_result(
        {"pair": Pair(Decimal("1.50"), timedelta(minutes=1)), "colours": {Colour.RED}, "many": (1, None)}
    )
    assert told == {"pair": {"left": "1.50", "right": 60.0}, "colours": ["red"], "many": [1, None]}
    with pytest.raises(TypeError):
        plain_result(b"x")
