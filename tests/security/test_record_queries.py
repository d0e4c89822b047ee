"""Row W10: asking for records by what one may not read, by SQL, or for too much (Tryton CVE-2019-10868).

Beside it, what a program might learn of secrets and of others' records by order, filter, figures and cursors, and what
it might reach through a method's name (row W9, ERPNext CVE-2026-96672).
"""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from core.runtime import get_model
from tests.web.conftest import World, address, ann, settings, world
from tests.web.program import program_of

__all__ = ["address", "ann", "settings", "world"]
pytestmark = pytest.mark.anyio

_SQL = ("name; DROP TABLE ticket", "name) FROM ticket --", '"name"', "1", "(SELECT 1)", "name DESC", "*", "ticket.name")
_REFUSED = (403, 422)


@pytest.fixture
async def gated(world: World) -> None:
    """Only the group of nobody may read what a ticket costs."""
    model = await get_model("ModelRegistry").get(identifier="Ticket")
    group = await get_model("Group").create(identifier="treasurer", name="Treasurer")
    await get_model("FieldAccess").create(model=model, group=group, field="amount", can_read=True, can_write=True)


def questions(field: str) -> list[tuple[str, dict[str, Any]]]:
    """Every way to ask about a field."""
    return [
        ("query", {"order": [field]}),
        ("query", {"order": [f"-{field}"]}),
        ("query", {"fields": [field]}),
        ("query", {"filter": {"field": field, "op": "is_null", "value": False}}),
        ("query", {"filter": {"not": {"field": field, "op": "eq", "value": "1"}}}),
        ("aggregate", {"group_by": [field]}),
        ("aggregate", {"figures": {"x": f"max:{field}"}}),
        ("aggregate", {"figures": {"x": f"count_distinct:{field}"}}),
        ("aggregate", {"filter": {"field": field, "op": "eq", "value": "1"}}),
    ]


async def refused(client: httpx2.AsyncClient, field: str) -> None:
    for way, body in questions(field):
        answer = await client.post(f"/api/records/Ticket/{way}", json=body)
        assert answer.status_code in _REFUSED, (way, body, answer.text)
    for name in ("order", "fields"):
        answer = await client.get("/api/records/Ticket", params={name: field})
        assert answer.status_code in _REFUSED, answer.text


@pytest.mark.usefixtures("gated")
async def test_a_gated_field_is_asked_about_in_no_way(ann: httpx2.AsyncClient, world: World) -> None:
    await refused(ann, "amount")
    path = f"/api/records/Ticket/{world.ticket.id}"
    assert "amount" not in (await ann.get(path)).json()
    assert (await ann.patch(path, json={"amount": "1"})).status_code in _REFUSED
    assert "amount" not in {one["name"] for one in (await ann.get("/api/models/Ticket")).json()["fields"]}
    for way in ("contact.tickets.amount", "steps.ticket.amount"):
        assert (await ann.get(path, params={"fields": way})).status_code in _REFUSED
        by = {"filter": {"field": f"ticket.{way}", "op": "eq", "value": "1"}}
        assert (await ann.post("/api/records/Step/query", json=by)).status_code in _REFUSED


async def test_a_secret_is_asked_about_in_no_way_by_anybody(
    ann: httpx2.AsyncClient,
    address: str,
    world: World,
) -> None:
    async with program_of(address, "root", "read", "write", "admin") as root:
        for client in (ann, root):
            await refused(client, "secret")
        for body in ({"order": ["password_hash"]}, {"filter": {"field": "password_hash", "op": "ne", "value": "x"}}):
            assert (await root.post("/api/records/User/query", json=body)).status_code == 422
        related = {"filter": {"field": "contact.users.password_hash", "op": "starts_with", "value": "$argon2"}}
        assert (await root.post("/api/records/Ticket/query", json=related)).status_code == 422
        answer = await root.get("/api/records/User", params={"fields": "login,password_hash"})
        assert answer.status_code == 422
        assert "argon2" not in (await root.get("/api/records/User")).text


async def test_a_model_is_not_asked_about_through_another(ann: httpx2.AsyncClient) -> None:
    for body in (
        {"filter": {"field": "contact.users.login", "op": "eq", "value": "root"}},
        {"fields": ["contact.users.login"]},
        {"fields": ["contact.users"]},
        {"fields": ["company.users.login"]},
    ):
        assert (await ann.post("/api/records/Ticket/query", json=body)).status_code == 403, body


@pytest.mark.parametrize("text", _SQL)
async def test_sql_is_no_name(ann: httpx2.AsyncClient, text: str) -> None:
    await refused(ann, text)
    for body in ({"group_by": [f"created_at:{text}"]}, {"figures": {"x": text}}, {"figures": {text: "count"}}):
        assert (await ann.post("/api/records/Contact/aggregate", json=body)).status_code == 422
    assert await get_model("Ticket").all().count() == 2


async def test_sql_in_a_value_is_a_value(ann: httpx2.AsyncClient) -> None:
    for text in ("' OR 1=1 --", "%", "_", "\\", '"; DROP TABLE ticket; --'):
        for op in ("eq", "contains", "starts_with", "ends_with"):
            body = {"filter": {"field": "name", "op": op, "value": text}, "count": True}
            page = (await ann.post("/api/records/Ticket/query", json=body)).json()
            assert (page["items"], page["count"]) == ([], 0), (op, text)


@pytest.mark.parametrize(
    "body",
    [
        {"limit": 10**30},
        {"limit": 1_001, "fields": ["name"]},
        {"limit": -1},
        {"limit": "all"},
        {"fields": ["name"] * 201},
        {"fields": ["contact." * 50 + "name"]},
        {"order": ["name"] * 21},
        {"filter": {"and": [{"field": "name", "op": "eq", "value": "x"}] * 101}},
        {"filter": {"field": "name", "op": "in", "value": ["x"] * 501}},
        {"filter": {"field": "name", "op": "eq", "value": "x" * 30_000}},
        {"q": "x" * 201},
    ],
)
async def test_too_much_is_refused(ann: httpx2.AsyncClient, body: dict[str, Any]) -> None:
    assert (await ann.post("/api/records/Ticket/query", json=body)).status_code == 422


async def test_a_deep_filter_is_refused(ann: httpx2.AsyncClient) -> None:
    tree: dict[str, Any] = {"field": "name", "op": "eq", "value": "x"}
    for _ in range(100):
        tree = {"not": tree}
    assert (await ann.post("/api/records/Ticket/query", json={"filter": tree})).status_code == 422


async def test_nothing_of_another_company_is_counted_or_found(ann: httpx2.AsyncClient, world: World) -> None:
    question = {"filter": {"field": "name", "op": "contains", "value": "Theirs"}, "count": True}
    page = (await ann.post("/api/records/Ticket/query", json=question)).json()
    assert (page["items"], page["count"]) == ([], 0)
    figures = (await ann.post("/api/records/Ticket/aggregate", json={"figures": {"n": "count", "id": "max:id"}})).json()
    assert figures["groups"] == [{"by": {}, "values": {"n": 1, "id": world.ticket.id}}]
    by_lines = {"filter": {"field": "ticket.name", "op": "eq", "value": "Theirs alone"}, "count": True}
    await get_model("Step").create(name="Theirs", ticket=world.foreign)
    assert (await ann.post("/api/records/Step/query", json=by_lines)).json()["count"] == 0


async def test_nobody_of_another_company_is_named_by_what_links_many(ann: httpx2.AsyncClient, world: World) -> None:
    heads = await get_model("Group").get(identifier="head")
    for name in ("Group", "User"):
        model = await get_model("ModelRegistry").get(identifier=name)
        await get_model("ModelAccess").create(model=model, group=heads, can_read=True)
    for fields in ("users", "users.login"):
        groups = (await ann.get("/api/records/Group", params={"fields": f"identifier,{fields}"})).json()["items"]
        (found,) = [group["users"] for group in groups if group["identifier"] == "head"]
        assert len(found) == 1, "ann herself, and not eve of the other company"


async def test_a_cursor_carries_nobody_elsewhere(
    ann: httpx2.AsyncClient,
    address: str,
    world: World,
) -> None:
    for number in range(2):
        await get_model("Ticket").create(name=f"N{number}", company=world.company)
    cursor = (await ann.get("/api/records/Ticket?limit=1")).json()["next_cursor"]
    async with program_of(address, "eve") as eve:
        page = (await eve.get(f"/api/records/Ticket?limit=1&cursor={cursor}")).json()
        assert [one["name"] for one in page["items"]] in ([], ["Theirs alone"])
    assert (await ann.get(f"/api/records/Contact?limit=1&cursor={cursor}")).status_code == 422


async def test_records_are_not_written_through_others(ann: httpx2.AsyncClient, world: World) -> None:
    step = await get_model("Step").create(name="Theirs", ticket=world.foreign)
    for path, body in (
        (f"/api/records/Ticket/{world.ticket.id}", {"steps": {"update": [{"id": step.id, "name": "x"}]}}),
        (f"/api/records/Ticket/{world.ticket.id}", {"steps": {"remove": [step.id]}}),
        (f"/api/records/Ticket/{world.ticket.id}", {"steps": [{"name": "x", "ticket_id": world.foreign.id}]}),
        (f"/api/records/Step/{step.id}", {"name": "x"}),
    ):
        assert (await ann.patch(path, json=body)).status_code in (403, 404, 422), body
    moved = await ann.post("/api/records/Step", json={"name": "x", "ticket": world.foreign.id})
    assert moved.status_code in _REFUSED
    assert await get_model("Step").filter(ticket=world.foreign).values_list("name", flat=True) == ["Theirs"]


@pytest.mark.parametrize("name", ["delete", "save", "__class__", "os.system", "_close", "raw", "set_password"])
async def test_no_method_is_reached_by_its_name(address: str, world: World, name: str) -> None:
    async with program_of(address, "root", "read", "write", "mail", "admin") as root:
        user = await get_model("User").get(login="ann")
        for path in (f"Ticket/{world.ticket.id}/call/{name}", f"Ticket/call/{name}", f"User/{user.id}/call/{name}"):
            assert (await root.post(f"/api/records/{path}", json={})).status_code in (404, 422)
