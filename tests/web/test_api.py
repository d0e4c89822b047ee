from __future__ import annotations

import pytest

from core.runtime import get_model
from tests.web.conftest import Visitor, World

pytestmark = pytest.mark.anyio


async def test_health_needs_no_login(visitor: Visitor) -> None:
    answer = await (await visitor()).get("/api/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_queue_stats_count_each_state(visitor: Visitor, world: World) -> None:
    await world.ticket.post_message("<p>x</p>")
    stats = (await (await visitor("ann")).get("/api/email/queue/stats")).json()
    assert stats["counts"]["queued"] == 1
    assert stats["counts"]["failed"] == 0
    assert stats["total"] == 1


async def test_records_are_listed_read_and_paged(visitor: Visitor, world: World) -> None:
    ann = await visitor("ann")
    for number in range(3):
        await get_model("Ticket").create(name=f"Desk {number}", amount="12.50", company=world.company)
    first = (await ann.get("/api/records/Ticket?limit=2&q=desk")).json()
    assert [one["name"] for one in first["items"]] == ["Desk 2", "Desk 1"]
    second = (await ann.get(f"/api/records/Ticket?limit=2&q=desk&before={first['next_before']}")).json()
    assert [one["name"] for one in second["items"]] == ["Desk 0"]
    assert second["next_before"] is None
    await get_model("Step").create(name="Glue it", ticket=world.ticket)
    one = (await ann.get(f"/api/records/Ticket/{world.ticket.id}")).json()
    assert one["contact"] == {"id": world.contact.id, "display_name": "Carla Customer"}
    assert one["amount"] == "0.00"
    assert one["steps"][0]["name"] == "Glue it"
    assert "secret" not in one


async def test_a_timeline_is_read(visitor: Visitor, world: World) -> None:
    message = await world.ticket.post_message("<p>Hello</p>", subject="Hi")
    (entry,) = (await (await visitor("ann")).get(f"/api/records/Ticket/{world.ticket.id}/timeline")).json()["items"]
    assert (entry["id"], entry["kind"], entry["subject"], entry["text"]) == (message.id, "outbound", "Hi", "Hello")
    assert entry["recipients"][0] == {
        "address": "carla@example.org", "kind": "to", "state": "queued", "attempts": 0, "reply": "",
        "opened_at": None, "clicked_at": None, "links": [],
    }  # fmt: skip
    assert message.tracking_identifier not in str(entry)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/records/Tickt", 404, "unknown_name"),
        ("/api/records/Ticket/999", 404, "unknown_name"),
        ("/api/records/User", 403, "access_denied"),
        ("/api/records/Ticket?limit=9999", 422, "invalid"),
        ("/api/records/Ticket/abc", 422, "invalid"),
        ("/api/nope", 404, "not_found"),
    ],
)
async def test_errors_are_problem_bodies(visitor: Visitor, path: str, status: int, code: str) -> None:
    answer = await (await visitor("ann")).get(path)
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code)
    assert {"type", "title", "detail"} <= set(problem)


async def test_a_near_miss_names_the_nearest(visitor: Visitor) -> None:
    assert 'Did you mean "Ticket"?' in (await (await visitor("ann")).get("/api/records/Tickt")).json()["detail"]


async def test_an_addon_s_route_answers_and_is_described(visitor: Visitor, world: World) -> None:
    ann = await visitor("ann")
    assert (await ann.get("/api/desk/count")).json() == {"count": 1}
    described = (await ann.get("/openapi.json")).json()["paths"]
    assert described["/api/desk/count"]["get"]["summary"] == "How many tickets there are"
    assert "/api/records/{model}/{record_id}/timeline" in described
    assert "/records/{model}" not in described
    assert "/api/desk/count" in (await ann.get("/docs")).text


async def test_json_needs_no_form_token_and_a_form_does(visitor: Visitor) -> None:
    ann = await visitor("ann")
    as_json = await ann.client.post("/api/desk/add?name=x", json={})
    assert (as_json.status_code, as_json.json()["code"]) == (422, "user_error")
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        answer = await ann.client.post("/api/desk/add?name=x", content="", headers={"content-type": content_type})
        assert answer.status_code == 403, content_type
        assert answer.json()["code"] == "request_refused"
    with_token = await ann.client.post("/api/desk/add?name=x", headers={"x-csrf-token": ann.token})
    assert with_token.status_code == 422
