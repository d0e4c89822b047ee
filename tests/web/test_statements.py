"""The number of statements behind a page does not grow with the page."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from core.runtime import get_model
from tests.databases import both as database_url
from tests.orm.statements import counted
from tests.web.conftest import World

__all__ = ["database_url"]
pytestmark = pytest.mark.anyio

_FEW, _MANY = 3, 30


@pytest.fixture
async def many(world: World) -> None:
    """Tickets with lines, contacts of their own, and messages on one of them with recipients and files."""
    for number in range(_MANY):
        contact = await get_model("Contact").create(name=f"C{number}", email=f"c{number}@example.org")
        ticket = await get_model("Ticket").create(name=f"T{number}", contact=contact, company=world.company)
        await get_model("Step").create(name="Saw", ticket=ticket)
        file = await get_model("Attachment").keep(f"{number}.txt", b"x")
        await world.ticket.post_message("<p>x</p>", to=[f"c{number}@example.org"], attachments=[file])


async def statements(client: httpx2.AsyncClient, method: str, path: str, body: Any = None) -> int:
    """Ask a few times and return the least: some requests also note the token's use."""
    told = []
    for _ in range(3):
        async with counted() as count:
            answer = await client.request(method, path, json=body)
            assert answer.status_code == 200, answer.text
        told.append(count.statements)
    return min(told)


@pytest.mark.usefixtures("many")
async def test_a_list(ann: httpx2.AsyncClient) -> None:
    few, more = [await statements(ann, "GET", f"/api/records/Ticket?limit={limit}") for limit in (_FEW, _MANY)]
    assert few == more


@pytest.mark.usefixtures("many")
async def test_a_query_with_related_fields(ann: httpx2.AsyncClient) -> None:
    fields = ["name", "contact.name", "contact.company", "steps.name", "contact.tickets.steps.name"]
    question = {"fields": fields, "filter": {"field": "contact.name", "op": "contains", "value": "C"}, "count": True}
    path = "/api/records/Ticket/query"
    few, more = [await statements(ann, "POST", path, {**question, "limit": limit}) for limit in (_FEW, _MANY)]
    assert few == more


@pytest.mark.usefixtures("many")
async def test_parts_of_timelines(ann: httpx2.AsyncClient) -> None:
    few, more = [await statements(ann, "GET", f"/api/records/Message?limit={limit}") for limit in (_FEW, _MANY)]
    assert few == more


async def test_a_timeline(ann: httpx2.AsyncClient, world: World) -> None:
    path = f"/api/records/Ticket/{world.ticket.id}/timeline"
    for _ in range(_FEW):
        file = await get_model("Attachment").keep("a.txt", b"x")
        await world.ticket.post_message("<p>x</p>", to=["a@example.org"], attachments=[file])
    few = await statements(ann, "GET", path)
    for _ in range(_MANY):
        file = await get_model("Attachment").keep("a.txt", b"x")
        await world.ticket.post_message("<p>x</p>", to=["a@example.org"], attachments=[file])
    assert await statements(ann, "GET", path) == few


async def test_many_rows_are_made_in_few_statements(ann: httpx2.AsyncClient, world: World) -> None:
    told = {}
    for count in (_FEW, _MANY):
        job = {"create": [{"name": f"T{number}", "contact": world.contact.id} for number in range(count)]}
        told[count] = await statements(ann, "POST", "/api/records/Ticket/bulk", job)
    assert told[_FEW] == told[_MANY]
