"""The timeline as `reference/002` has it, and what it says of several recipients."""

from __future__ import annotations

from typing import Any

import pytest

from core import clock
from core.runtime import get_model, runtime
from tests.web.browser import Browser
from tests.web.conftest import Visitor, World

pytestmark = pytest.mark.anyio


@pytest.fixture
async def path(world: World) -> str:
    table = await get_model("ModelRegistry").get(identifier="Ticket")
    return f"/api/table/{table.pk}/record/{world.ticket.pk}/comments/get"


async def read(browser: Browser, path: str, **query: Any) -> list[dict[str, Any]]:
    answer = await browser.client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


async def mail(world: World, *states: dict[str, Any], **values: Any) -> Any:
    """A mail with a copy for each of these states; `code` is the server's last answer to one."""
    author = await get_model("User").get(login="ann")
    message = await get_model("Message").create(
        res_model="Ticket", res_id=world.ticket.pk, kind="message", direction="Outbound", send_state="Sent",
        author=author, subject="Hi", body="<p>Hi</p>", **values,
    )  # fmt: skip
    for number, state in enumerate(states):
        code = state.pop("code", None)
        copy = await get_model("Delivery").create(
            message=message, due_at=clock.now(), **{"recipient": f"r{number}@example.org", **state}
        )
        if code is not None:
            await get_model("Attempt").create(
                delivery=copy, at=clock.now(), outcome="permanent", phase="rcpt", code=code, reply=f"{code} no"
            )
    return message


THIS_HOUR = clock.now().replace(minute=0, second=0, microsecond=0)


def _at(minute: int) -> Any:
    return THIS_HOUR.replace(minute=minute)


SENT = {"state": "sent"}
READ = {"state": "sent", "read_at": _at(5)}
BOUNCED = {"state": "sent", "bounced_at": _at(1), "bounce_kind": "hard"}
QUEUED = {"state": "queued"}
FAILED = {"state": "failed"}


@pytest.mark.parametrize(
    ("states", "status"),
    [
        ([QUEUED], "queued"),
        ([{"state": "held"}], "queued"),
        ([{"state": "sending"}], "queued"),
        ([{"state": "unknown"}], "queued"),
        ([SENT], "sent"),
        ([READ], "read"),
        ([{"state": "sent", "opened_at": _at(1)}], "read"),
        ([BOUNCED], "bounced"),
        ([{**BOUNCED, "read_at": _at(1)}], "bounced"),
        ([{**BOUNCED, "opened_at": _at(1)}], "read"),
        ([{**BOUNCED, "opened_at": _at(2)}], "bounced"),
        ([{**FAILED, "code": 550}], "bounced"),
        ([{**FAILED, "code": 550, "opened_at": _at(1)}], "bounced"),
        ([{**FAILED, "code": 451}], "dropped"),
        ([FAILED], "dropped"),
        ([{"state": "cancelled"}], "dropped"),
        ([QUEUED, SENT, READ, BOUNCED], "read"),
        ([QUEUED, SENT, BOUNCED], "sent"),
        ([QUEUED, BOUNCED], "queued"),
        ([{"state": "cancelled"}, BOUNCED], "bounced"),
    ],
)
async def test_of_several_recipients_the_furthest_counts(
    visitor: Visitor, world: World, path: str, states: list[dict[str, Any]], status: str
) -> None:
    await mail(world, *(dict(one) for one in states))
    (comment,) = await read(await visitor("ann"), path)
    assert comment["metadata"]["status"] == status
    assert len(comment["metadata"]["recipients"]) == len(states)
    assert (comment["metadata"]["readAt"] is not None) == (status == "read")


async def test_the_first_reader_counts_and_a_refusal_says_why(visitor: Visitor, world: World, path: str) -> None:
    await mail(world, {**READ, "read_at": _at(9)}, READ, {**FAILED, "code": 550})
    (comment,) = await read(await visitor("ann"), path)
    metadata = comment["metadata"]
    assert metadata["readAt"] == _at(5).isoformat().replace("+00:00", "Z")
    assert metadata["error"] == "550 no"
    assert [one["status"] for one in metadata["recipients"]] == ["read", "read", "bounced"]


async def test_blind_copies_are_for_their_sender(visitor: Visitor, world: World, path: str) -> None:
    await mail(world, SENT, {**READ, "kind": "bcc", "recipient": "blind@example.org"})
    (mine,) = await read(await visitor("ann"), path)
    assert (mine["metadata"]["bcc"], mine["metadata"]["status"]) == (["blind@example.org"], "read")
    (theirs,) = await read(await visitor("guest"), path)
    assert "blind" not in str(theirs)
    inside = await get_model("User").get(login="nora")
    await inside.groups.add(await get_model("Group").get(identifier="head"))
    (theirs,) = await read(await visitor("nora"), path)
    assert "blind" not in str(theirs)
    assert (theirs["metadata"]["bcc"], theirs["metadata"]["status"]) == ([], "sent")


async def test_each_entry_has_its_type(visitor: Visitor, world: World, path: str) -> None:
    await world.ticket.post_note("<p>Inside</p>")
    await world.ticket.post_message("<p>To nobody</p>", to=[])
    await mail(world, SENT)
    await get_model("Message").create(
        res_model="Ticket", res_id=world.ticket.pk, kind="message", direction="Inbound", email_from="x@y.example",
        body='<p onclick="x()">Hi<script>alert(1)</script><img src="https://spy.example/x.png"></p>',
    )  # fmt: skip
    world.ticket.stage = "done"
    await world.ticket.save()
    found = await read(await visitor("ann"), path)
    assert [one["type"] for one in found] == ["tracking", "email_in", "email_out", "comment", "note"]
    assert found[0]["text"] == "Stage: New → Done"
    assert found[1]["body"] == "<p>Hi<img></p>"
    assert found[1]["author"] == {"id": None, "name": "x@y.example"}
    assert [one["metadata"]["status"] for one in found] == [None, "received", "sent", None, None]
    outside = await read(await visitor("guest"), path)
    assert "note" not in [one["type"] for one in outside]


async def test_pages_follow_each_other(visitor: Visitor, world: World, path: str) -> None:
    ids = [(await mail(world, SENT)).pk for _ in range(5)]
    ann = await visitor("ann")
    answer = await ann.client.get(path, params={"limit": 2})
    seen = [one["id"] for one in answer.json()]
    while next_page := answer.links.get("next"):
        answer = await ann.client.get(next_page["url"])
        seen += [one["id"] for one in answer.json()]
    assert seen == ids[::-1]
    answer = await ann.client.post(path, json={"limit": 1, "before": ids[2]})
    assert [one["id"] for one in answer.json()] == [ids[1]]
    assert (await ann.client.post(path)).status_code in (200, 403)  # A browser's form without its token is refused.
    assert len((await ann.client.post(path, json={})).json()) == 5


async def test_a_page_ends_where_bodies_are_large(visitor: Visitor, world: World, path: str) -> None:
    ids = [(await mail(world, SENT)).pk for _ in range(3)]
    await get_model("Message").filter(id__in=ids).update(body="x" * 2_000_000)
    await get_model("Message").filter(id=ids[1]).update(body="x" * 5_000_000)
    ann = await visitor("ann")
    answer = await ann.client.get(path)
    pages = [[one["id"] for one in answer.json()]]
    while next_page := answer.links.get("next"):
        answer = await ann.client.get(next_page["url"])
        pages.append([one["id"] for one in answer.json()])
    assert pages == [[ids[2]], [ids[1]], [ids[0]]]


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "before=-1", "before=99999999999999999999", "limit=x"])
async def test_a_page_that_cannot_be_is_refused(visitor: Visitor, path: str, query: str) -> None:
    assert (await (await visitor("ann")).get(f"{path}?{query}")).status_code == 422


async def test_the_record_s_access_is_that_of_its_comments(visitor: Visitor, world: World, path: str) -> None:
    for login, status in ((None, 401), ("nora", 403), ("eve", 404)):
        assert (await (await visitor(login)).get(path)).status_code == status
    ann = await visitor("ann")
    assert (await ann.get(path.replace(f"record/{world.ticket.pk}", f"record/{world.foreign.pk}"))).status_code == 404
    assert (await ann.get("/api/table/99999/record/1/comments/get")).status_code == 404
    assert (await ann.get(f"/api/table/{2**70}/record/1/comments/get")).status_code == 422


async def test_no_statement_for_each_row(
    visitor: Visitor, world: World, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await visitor("ann")

    async def statements() -> int:
        count = 0
        client = runtime().database.client
        run = type(client).execute_query

        async def counted(*args: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            return await run(*args, **options)

        with monkeypatch.context() as patch:
            patch.setattr(type(client), "execute_query", counted)
            await read(ann, path, limit=200)
        return count

    for _ in range(5):
        await mail(world, SENT, {**FAILED, "code": 550})
    few = await statements()
    for _ in range(45):
        await mail(world, SENT, {**FAILED, "code": 550})
    assert await statements() == few
