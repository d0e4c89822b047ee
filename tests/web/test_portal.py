"""What a customer finds: its own records with what was written to it, and nothing of ours."""

from __future__ import annotations

from typing import Any

import pytest

from core.runtime import get_model
from tests.web.conftest import Visitor, World
from tests.web.portal import open_portal

pytestmark = pytest.mark.anyio


async def table_of(model: str) -> int:
    row = await get_model("ModelRegistry").get(identifier=model)
    return int(row.id)


async def places(world: World) -> list[str]:
    """Wherever a ticket's timeline is told."""
    ticket = world.ticket.id
    return [
        f"/records/Ticket/{ticket}",
        f"/api/records/Ticket/{ticket}/timeline",
        f"/api/table/{await table_of('Ticket')}/record/{ticket}/comments/get",
    ]


async def test_only_its_own_records_are_there(visitor: Visitor, world: World) -> None:
    await open_portal(world)
    other = await get_model("Ticket").create(name="Somebody else's", company=world.company)
    carla = await visitor("carla")
    for base in ("/records", "/api/records"):
        listed = (await carla.get(f"{base}/Ticket")).text
        assert "Broken chair" in listed
        assert "Somebody else" not in listed
        assert (await carla.get(f"{base}/Ticket/{world.ticket.id}")).status_code == 200
        for hidden in (other, world.foreign):
            assert (await carla.get(f"{base}/Ticket/{hidden.id}")).status_code == 404
        people = (await carla.get(f"{base}/Contact")).text
        assert "carla@example.org" in people
        assert "ann@desk.example" not in people
        for model in ("User", "Message", "Follower", "Attachment", "Group", "ApiToken"):
            assert (await carla.get(f"{base}/{model}")).status_code == 403, model


async def test_nothing_of_ours_is_in_its_pages(visitor: Visitor, world: World) -> None:
    await open_portal(world)
    ann = await get_model("User").get(login="ann")
    follower = await get_model("Contact").create(name="Fiona Follower", email="fiona@elsewhere.example")
    await world.ticket.follow(follower)
    world.ticket.amount = 7654321
    await world.ticket.save()
    await world.ticket.post_note("<p>She never pays</p>", author=ann)
    await world.ticket.post_message("<p>We are on it</p>", author=ann, bcc=["boss@desk.example"])
    about = {"res_model": "Ticket", "res_id": world.ticket.id}
    await get_model("Message").create(body="<p>Half a thought</p>", author=ann, send_state="Draft", **about)
    carla, colleague = await visitor("carla"), await visitor("ann")
    for place in await places(world):
        shown, ours = (await carla.get(place)).text, (await colleague.get(place)).text
        assert "We are on it" in shown, place
        assert "fiona@elsewhere.example" in ours
        for hidden in ("never pays", "Half a thought", "Fiona", "fiona@", "boss@", "7654321", "7,654,321"):
            assert hidden not in shown, (place, hidden)
    page = (await carla.get("/records/Ticket")).text + (await carla.get("/")).text
    assert "Amount" not in page
    for theirs in ("/addons/desk/board", "/outbox", "/inbound"):
        assert theirs not in page
        assert (await carla.get(theirs)).status_code == 403
    assert (await carla.get("/api/desk/count")).status_code == 403
    record = (await carla.get(f"/api/records/Ticket/{world.ticket.id}")).json()
    assert "amount" not in record
    assert record["name"] == "Broken chair"


async def test_it_writes_on_its_own_record_and_mails_nobody(visitor: Visitor, world: World) -> None:
    user = await open_portal(world)
    ann = await get_model("User").get(login="ann").prefetch_related("contact")
    await world.ticket.follow(ann.contact)
    carla = await visitor("carla")
    path = f"/records/Ticket/{world.ticket.id}"
    page = await carla.get(path)
    assert "Write to us" in page.text
    assert "Internal note" not in page.text
    answer = await carla.post(f"{path}/message", body="It broke again", to="victim@elsewhere.example")
    assert answer.status_code == 303
    api = {"text": "And again"}
    posted = await carla.client.post(f"/api{path}/messages", json=api)
    assert posted.status_code == 202, posted.text
    for refused in ({**api, "to": ["victim@elsewhere.example"]}, {**api, "bcc": ["v@elsewhere.example"]}):
        assert (await carla.client.post(f"/api{path}/messages", json=refused)).status_code == 403
    written = await get_model("Message").filter(author_id=user.id).order_by("id")
    assert [one.text or one.body for one in written] == ["<p>It broke again</p>", "<p>And again</p>"]
    assert await get_model("Delivery").all().count() == 0
    assert await get_model("Notification").filter(user_id=ann.id).count() == 2
    assert "It broke again" in (await carla.get(path)).text


@pytest.mark.parametrize("whose", ["own", "foreign"])
async def test_nothing_else_can_be_done(visitor: Visitor, world: World, whose: str) -> None:
    await open_portal(world)
    ticket = world.ticket if whose == "own" else world.foreign
    carla = await visitor("carla")
    table, path = await table_of("Ticket"), f"/records/Ticket/{ticket.id}"
    await carla.get(f"/records/Ticket/{world.ticket.id}")
    forms: list[Any] = [
        await carla.post(f"{path}/note", body="x"),
        await carla.post(f"{path}/text/sms", body="x", to="+41790000000"),
        await carla.post(f"{path}/template/greet"),
    ]
    if whose == "foreign":
        forms += [await carla.post(f"{path}/message", body="x"), await carla.post(f"{path}/follow")]
    send = {"tableId": table, "recordId": ticket.id, "smtpIntegrationId": 1, "fromIdentity": {"email": "a@b.example"}}
    calls = [
        ("POST", "/api/email/send", {**send, "to": ["v@elsewhere.example"], "subject": "x", "body": "x"}),
        ("PATCH", f"/api{path}", {"name": "Mine"}),
        ("DELETE", f"/api{path}", None),
        ("POST", "/api/records/Ticket", {"name": "New"}),
        ("POST", "/api/records/Ticket/bulk", {"update": [{"id": ticket.id, "name": "Mine"}]}),
        ("POST", f"/api{path}/notes", {"text": "x"}),
        ("POST", f"/api{path}/activities", {"due_on": "2030-01-01"}),
        ("POST", f"/api{path}/followers", {"contact": 1 + world.contact.id}),
        ("GET", f"/api{path}/activities", None),
        ("PATCH", f"/api/records/Contact/{world.contact.id}", {"email": "new@example.org"}),
        ("GET", "/api/access/explain?login=root&model=Ticket", None),
    ]
    for method, place, body in calls:
        forms.append(await carla.client.request(method, place, json=body) if body else await carla.client.request(
            method, place, headers={"content-type": "application/json"}
        ))  # fmt: skip
    assert {(str(one.request.url.path), one.status_code) for one in forms if one.status_code not in (403, 404)} == set()
    assert await get_model("Delivery").all().count() == 0
    assert await get_model("Ticket").filter(name__in=["Mine", "New"]).count() == 0


async def test_administrators_ask_why_by_the_api(visitor: Visitor, world: World) -> None:
    await open_portal(world)
    root, ann = await visitor("root"), await visitor("ann")
    asked = {"login": "carla", "model": "Ticket", "id": world.foreign.id, "right": "read"}
    told = (await root.client.get("/api/access/explain", params=asked)).json()
    assert told["verdict"] == f"carla may not read Ticket {world.foreign.id}."
    assert {step["asked"] for step in told["steps"] if not step["allows"]} == {"rule", "company"}
    assert "amount" in told["fields"][0]["reason"]
    assert (await ann.client.get("/api/access/explain", params=asked)).status_code == 403
    for wrong, status in (
        ({"login": "who"}, 404), ({"model": "Tickt"}, 404), ({"id": 99}, 404), ({"id": 2**63}, 422),
        ({"right": "own"}, 422), ({"login": "a\0"}, 422), ({"model": "a\0"}, 422),
    ):  # fmt: skip
        assert (await root.client.get("/api/access/explain", params=asked | wrong)).status_code == status, wrong
