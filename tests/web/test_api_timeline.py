"""Writing to a record's timeline over HTTP: messages, notes, followers, activities, files."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from core.runtime import get_model
from tests.web.conftest import World
from tests.web.program import program_of

pytestmark = pytest.mark.anyio


@pytest.fixture
async def guest(address: str) -> AsyncIterator[httpx2.AsyncClient]:
    """Somebody from outside."""
    async with program_of(address, "guest") as client:
        yield client


@pytest.fixture
def path(world: World) -> str:
    return f"/api/records/Ticket/{world.ticket.id}"


async def test_a_message_goes_to_the_records_people(ann: httpx2.AsyncClient, path: str) -> None:
    answer = await ann.post(f"{path}/messages", json={"text": "Come & see <it>", "subject": "Chair"})
    assert answer.status_code == 202, answer.text
    entry = answer.json()
    assert (entry["kind"], entry["author"], entry["subject"], entry["send_state"]) == (
        "outbound", "Ann", "Chair", "Queued",
    )  # fmt: skip
    assert entry["text"] == "Come & see <it>"
    assert [one["address"] for one in entry["recipients"]] == ["carla@example.org"]
    assert (await ann.get(f"{path}/timeline")).json()["items"][0] == entry


async def test_a_message_goes_once(ann: httpx2.AsyncClient, path: str) -> None:
    headers = {"Idempotency-Key": "one"}
    answers = [await ann.post(f"{path}/messages", json={"text": "x"}, headers=headers) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert await get_model("Message").filter(kind="message").count() == 1


async def test_a_message_says_whom_and_when(ann: httpx2.AsyncClient, path: str, world: World) -> None:
    user = await get_model("User").get(login="ann")
    file = await get_model("Attachment").keep("plan.txt", b"x", created_by=user)
    answer = await ann.post(f"{path}/messages", json={
        "body": "<p>Hi</p>", "to": ["a@example.org"], "cc": ["c@example.org"], "bcc": ["b@example.org"],
        "attachments": [file.id], "scheduled_at": "2030-01-01T09:00:00+01:00", "priority": "high"})  # fmt: skip
    assert answer.status_code == 202, answer.text
    entry = answer.json()
    assert {one["kind"]: one["address"] for one in entry["recipients"]} == {
        "to": "a@example.org", "cc": "c@example.org", "bcc": "b@example.org",
    }  # fmt: skip
    assert [one["name"] for one in entry["attachments"]] == ["plan.txt"]
    files = (await ann.get(f"{path}/attachments")).json()["items"]
    assert [(one["id"], one["name"]) for one in files] == [(file.id, "plan.txt")]


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({}, "either text, or body"),
        ({"text": "x", "body": "x"}, "either text, or body"),
        ({"text": " "}, "must not be empty"),
        ({"text": "x", "to": ["nonsense"]}, "nonsense"),
        ({"text": "x", "attachments": [999]}, "There is no file 999."),
        ({"template": "nope"}, "no active EmailTemplate"),
        ({"template": "x", "text": "x"}, "leave out text"),
        ({"text": "x", "scheduled_at": "2030-01-01T09:00:00"}, "timezone"),
        ({"text": "x", "who": "y"}, "Extra inputs"),
    ],
)
async def test_a_message_that_cannot_go(
    ann: httpx2.AsyncClient, path: str, message: dict[str, Any], words: str
) -> None:
    answer = await ann.post(f"{path}/messages", json=message)
    assert answer.status_code == 422, answer.text
    assert words in answer.text
    assert not await get_model("Message").filter(kind="message").exists()


async def test_a_strangers_file_is_not_sent_on(ann: httpx2.AsyncClient, path: str) -> None:
    eve = await get_model("User").get(login="eve")
    file = await get_model("Attachment").keep("hers.txt", b"x", created_by=eve)
    answer = await ann.post(f"{path}/messages", json={"text": "x", "attachments": [file.id]})
    assert answer.status_code == 422


async def test_a_token_without_mail_sends_none(address: str, path: str) -> None:
    async with program_of(address, "ann", "read", "write") as client:
        assert (await client.post(f"{path}/messages", json={"text": "x"})).status_code == 403
        assert (await client.post(f"{path}/notes", json={"text": "x"})).status_code == 201


async def test_a_note_stays_inside(ann: httpx2.AsyncClient, guest: httpx2.AsyncClient, path: str) -> None:
    eve, root = [await get_model("User").get(login=login) for login in ("eve", "root")]
    answer = await ann.post(f"{path}/notes", json={"text": "Careful", "mentions": [root.id]})
    assert (answer.status_code, answer.json()["kind"], answer.json()["recipients"]) == (201, "note", [])
    assert await get_model("Notification").filter(user=root).exists()
    assert (await ann.post(f"{path}/notes", json={"text": "x", "mentions": [eve.id]})).status_code == 422
    assert (await guest.get(f"{path}/timeline")).json()["items"] == []
    for way, body in (("notes", {"text": "x"}), ("activities", {"due_on": "2030-01-01"})):
        assert (await guest.post(f"{path}/{way}", json=body)).status_code == 403
    assert (await guest.get(f"{path}/activities")).status_code == 403


async def test_who_is_outside_answers_by_text_that_mails_nobody(guest: httpx2.AsyncClient, path: str) -> None:
    answer = await guest.post(f"{path}/messages", json={"text": "When?", "subject": "Chair"})
    assert (answer.status_code, answer.json()["author"], answer.json()["send_state"]) == (202, "Guest", None)
    assert not await get_model("Delivery").exists()
    for more in ({"to": ["x@example.org"]}, {"bcc": ["x@example.org"]}, {"body": "<p>x</p>"}, {"template": "x"}):
        assert (await guest.post(f"{path}/messages", json={"text": "x", **more})).status_code in (403, 422)


async def test_followers_come_and_go(
    ann: httpx2.AsyncClient, guest: httpx2.AsyncClient, path: str, world: World
) -> None:
    assert (await ann.post(f"{path}/followers", json={"contact": world.contact.id})).status_code == 204
    assert (await ann.post(f"{path}/followers", json={})).status_code == 204
    names = [one["contact"]["display_name"] for one in (await ann.get(f"{path}/followers")).json()["items"]]
    assert names == ["Carla Customer", "Ann"]
    assert (await guest.get(f"{path}/followers")).json() == {"items": []}, "who else follows is not theirs to know"
    assert (await ann.delete(f"{path}/followers/{world.contact.id}")).status_code == 204
    assert len((await ann.get(f"{path}/followers")).json()["items"]) == 1
    theirs = await get_model("Contact").create(name="Hidden", company=world.other_company)
    assert (await ann.post(f"{path}/followers", json={"contact": theirs.id})).status_code == 422


async def test_activities_are_given_and_done(ann: httpx2.AsyncClient, path: str, world: World) -> None:
    user = await get_model("User").get(login="ann")
    made = await ann.post(f"{path}/activities", json={"kind": "Call", "due_on": "2030-01-31", "assignee": user.id})
    assert made.status_code == 201, made.text
    activity = made.json()
    assert (activity["assignee"]["display_name"], activity["done_at"]) == ("Ann", None)
    assert (await ann.get(f"{path}/activities")).json()["items"] == [activity]
    done = await ann.post(f"{path}/activities/{activity['id']}/complete")
    assert done.json()["done_at"] is not None
    assert (await ann.get(f"{path}/activities")).json()["items"] == []
    assert len((await ann.get(f"{path}/activities?done=true")).json()["items"]) == 1
    elsewhere = await get_model("Ticket").create(name="Other", company=world.company)
    other = f"/api/records/Ticket/{elsewhere.id}/activities/{activity['id']}"
    assert (await ann.delete(other)).status_code == 404
    assert (await ann.delete(f"{path}/activities/{activity['id']}")).status_code == 204
    assert (await ann.post(f"{path}/activities", json={"due_on": "2030-01-31", "assignee": 999})).status_code == 422


async def test_a_timeline_is_paged_by_cursor_or_id(ann: httpx2.AsyncClient, path: str, world: World) -> None:
    for number in range(31):
        await world.ticket.post_note(f"<p>{number}</p>")
    first = (await ann.get(f"{path}/timeline")).json()
    for way in (f"cursor={first['next_cursor']}", f"before={first['next_before']}"):
        page = (await ann.get(f"{path}/timeline?{way}")).json()
        assert [one["text"] for one in page["items"]] == ["0"]
        assert (page["next_cursor"], page["next_before"]) == (None, None)
    foreign = f"/api/records/Contact/{world.contact.id}/timeline"
    assert (await ann.get(f"{foreign}?cursor={first['next_cursor']}")).status_code in (404, 422)
    assert (await ann.get(f"{path}/timeline?cursor=nonsense")).status_code == 422


@pytest.mark.parametrize("way", ["timeline", "followers", "activities", "attachments"])
async def test_what_is_none_of_theirs_is_not_there(ann: httpx2.AsyncClient, world: World, way: str) -> None:
    assert (await ann.get(f"/api/records/Ticket/{world.foreign.id}/{way}")).status_code == 404


@pytest.mark.parametrize(
    ("way", "body"),
    [
        ("messages", {"text": "x"}),
        ("notes", {"text": "x"}),
        ("followers", {}),
        ("activities", {"due_on": "2030-01-01"}),
    ],
)
async def test_nothing_is_written_to_what_is_none_of_theirs(
    ann: httpx2.AsyncClient, world: World, way: str, body: dict[str, Any]
) -> None:
    assert (await ann.post(f"/api/records/Ticket/{world.foreign.id}/{way}", json=body)).status_code == 404
