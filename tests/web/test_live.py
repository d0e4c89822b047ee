from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from core.events import announce
from core.orm.feed import Change, Entry
from core.runtime import get_model, runtime
from core.web.live_stream import Stream
from core.web.live_topic import topics_of
from core.web.server import serve
from core.web.session import Visit, new_session
from tests.acceptance.command import Postroom
from tests.databases import both as database_url
from tests.web.conftest import Visitor, World
from tests.web.watch import watching

__all__ = ["database_url"]
pytestmark = pytest.mark.anyio


def topic(record: Any) -> str:
    return f"record:{type(record).__name__}:{record.pk}"


async def user(login: str) -> Any:
    return await get_model("User").get(login=login)


async def test_a_timeline_is_told_of_what_was_posted_and_of_what_became_of_it(visitor: Visitor, world: World) -> None:
    ann = await visitor("ann")
    async with watching(ann.client, topic(world.ticket)) as watch:
        message = await world.ticket.post_message("<p>Hello.</p>", author=await user("ann"))
        heard = await watch.event()
        about = {"topic": topic(world.ticket), "model": "Ticket", "id": world.ticket.pk, "messages": [message.pk]}
        assert (heard.name, heard.data) == ("timeline", {**about, "states": ["Queued"]})
        await message.send_now()
        assert "Sent" in (await watch.event()).data["states"]


async def test_changes_of_a_moment_are_one_event(visitor: Visitor, world: World) -> None:
    ann = await visitor("ann")
    async with watching(ann.client, topic(world.ticket)) as watch:
        for _ in range(5):
            await announce(Change.of_timeline("Ticket", world.ticket.pk, 7, "Queued"))
        await announce(Change.of_timeline("Ticket", world.ticket.pk, 8, "Sent"))
        assert (await watch.event()).data["messages"] == [7, 8]
        with pytest.raises(TimeoutError):
            await watch.event(0.5)


async def test_a_note_is_told_to_those_inside_only(visitor: Visitor, world: World) -> None:
    ann, guest = await visitor("ann"), await visitor("guest")
    async with watching(ann.client, topic(world.ticket)) as inside, watching(guest.client, topic(world.ticket)) as out:
        note = await world.ticket.post_note("<p>Between us.</p>", author=await user("ann"))
        assert (await inside.event()).data["messages"] == [note.pk]
        with pytest.raises(TimeoutError):
            await out.event(0.7)


async def test_a_rollback_tells_nothing(visitor: Visitor, world: World) -> None:
    from core.orm.transaction import rehearsal

    ann = await visitor("ann")
    async with watching(ann.client, f"{topic(world.ticket)},queue") as watch:
        async with rehearsal():
            await world.ticket.post_message("<p>Never.</p>", author=await user("ann"))
        with pytest.raises(TimeoutError):
            await watch.event(0.7)


async def test_the_queue_of_another_company_is_not_told(visitor: Visitor, world: World) -> None:
    ann, eve, root = await visitor("ann"), await visitor("eve"), await visitor("root")
    async with (
        watching(ann.client, "queue") as ours,
        watching(eve.client, "queue") as theirs,
        watching(root.client, "queue") as all_of_it,
    ):
        await world.ticket.post_message("<p>Hello.</p>", author=await user("ann"))
        assert (await ours.event()).data == {"topic": "queue", "states": ["Queued"]}
        assert (await all_of_it.event()).data == {"topic": "queue", "states": ["Queued"]}
        await get_model("QueueSuspension").suspend("tea")
        assert (await theirs.event()).data == {"topic": "queue", "states": ["Suspended"]}


async def test_cron_inbox_and_notifications_are_told(visitor: Visitor, world: World) -> None:
    ann = await visitor("ann")
    job = await get_model("CronJob").create(identifier="prune", name="Prune", model="CronRun", method="cron_prune")
    async with watching(ann.client, "cron,inbound,notifications") as watch:
        await job.run_now()
        assert (await watch.told("cron", "done")).data["jobs"] == [job.pk]
        await get_model("InboundEmail").receive(b"From: a@b.example\r\nSubject: x\r\n\r\nx\r\n", "test:1")
        assert (await watch.told("inbound", "unmatched")).data["topic"] == "inbound"
        await world.ticket.follow(await get_model("Contact").get(email="ann@desk.example"))
        await world.ticket.post_note("<p>Look.</p>", author=await user("root"))
        assert (await watch.told("notification")).data == {"topic": "notifications", "states": []}


async def test_who_comes_back_misses_nothing(visitor: Visitor, world: World) -> None:
    ann = await visitor("ann")
    async with watching(ann.client, topic(world.ticket)) as watch:
        await world.ticket.post_note("<p>One.</p>", author=await user("ann"))
        last_id = (await watch.event()).last_id
    notes = []
    for number in range(3):
        notes.append((await world.ticket.post_note(f"<p>{number}</p>", author=await user("ann"))).pk)
        await asyncio.sleep(0.05)
    async with watching(ann.client, topic(world.ticket), headers={"Last-Event-ID": last_id}) as watch:
        missed: list[int] = []
        while len(missed) < 3:
            missed += (await watch.event()).data["messages"]
        assert missed == notes
    async with watching(ann.client, topic(world.ticket), params={"since": last_id}) as watch:
        assert (await watch.event()).data["messages"][0] == notes[0]


@pytest.mark.parametrize("last_id", ["1", "999999999", "nonsense", "9" * 40, "-1"])
async def test_who_was_away_too_long_reads_anew(visitor: Visitor, world: World, last_id: str) -> None:
    for _ in range(2):
        position = await runtime().feed.position()
        await announce(Change("queue", ("Sent",)))
        await _written(position)
    newest = await runtime().feed.position()
    await runtime().database.execute(f"DELETE FROM live_event WHERE id < {newest}")
    await runtime().database.execute(f"UPDATE live_event SET id = {newest + 100}")
    ann = await visitor("ann")
    async with watching(ann.client, "queue", headers={"Last-Event-ID": last_id}) as watch:
        heard = await watch.event()
        assert (heard.name, heard.data, heard.last_id) == ("reset", {}, str(newest + 100))


async def _written(position: int) -> None:
    """Return once something stands behind a position of the feed."""
    for _ in range(200):
        if await runtime().feed.position() > position:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("nothing was written within ten seconds")


@pytest.mark.parametrize(
    ("login", "topics", "status"),
    [
        (None, "queue", 401),
        ("nora", "queue", 403),
        ("nora", "cron", 403),
        ("ann", "record:Ticket:{foreign}", 404),
        ("nora", "record:Ticket:{ticket}", 403),
        ("ann", "record:Ticket:999999999999", 404),
        ("ann", "record:Ticket:9999999999999999999", 422),
        ("ann", "record:Contact:1", 404),
        ("ann", "record:Nothing:1", 404),
        ("ann", "everything", 422),
        ("ann", "", 422),
        ("ann", ",".join(f"record:Ticket:{number}" for number in range(21)), 422),
        ("ann", "record:Ticket:\x00", 422),
    ],
)
async def test_who_may_not_watch_is_told_why(
    visitor: Visitor, world: World, login: str | None, topics: str, status: int
) -> None:
    browser = await visitor(login)
    named = topics.replace("{foreign}", str(world.foreign.pk)).replace("{ticket}", str(world.ticket.pk))
    answer = await browser.client.get("/api/live", params={"topics": named})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_page_elsewhere_watches_nothing(visitor: Visitor) -> None:
    ann = await visitor("ann")
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = await ann.client.get("/api/live", params={"topics": "queue"}, headers=headers)
        assert answer.status_code == 403


async def test_logging_out_ends_the_stream(visitor: Visitor) -> None:
    ann = await visitor("ann")
    async with watching(ann.client, "queue") as watch:
        await ann.post("/logout")
        assert await watch.ended()


async def test_a_revoked_token_ends_its_stream_and_no_other(visitor: Visitor, address: str, world: World) -> None:
    token, text = await get_model("ApiToken").issue(await user("ann"), "watcher", ["read"])
    _, other = await get_model("ApiToken").issue(await user("ann"), "other", ["read"])
    async with httpx2.AsyncClient(base_url=address, verify=False) as client:
        headers = {"Authorization": f"Bearer {text}", "Origin": "https://elsewhere.example"}
        async with (
            watching(client, "queue", headers=headers) as watch,
            watching(client, "queue", headers={"Authorization": f"Bearer {other}"}) as stays,
        ):
            await token.revoke()
            assert await watch.ended()
            await announce(Change("queue", ("Sent",)))
            assert (await stays.event()).name == "queue"


async def _leave_group() -> None:
    ann = await user("ann")
    await ann.groups.clear()


async def _lose_right() -> None:
    await get_model("ModelAccess").filter(model__identifier="Message").update(can_read=False)


async def _switched_off() -> None:
    await get_model("User").filter(login="ann").update(active=False)


async def _new_password() -> None:
    ann = await user("ann")
    await ann.set_password("another one, and longer")
    await ann.save()


async def _move_away() -> None:
    other = await get_model("Company").get(name="Theirs")
    await get_model("User").filter(login="ann").update(company_id=other.pk)


@pytest.mark.parametrize("loss", [_leave_group, _lose_right, _switched_off, _new_password, _move_away])
async def test_rights_withdrawn_end_the_stream(visitor: Visitor, loss: Any) -> None:
    ann, root = await visitor("ann"), await visitor("root")
    async with watching(ann.client, "queue") as watch, watching(root.client, "queue") as stays:
        await loss()
        assert await watch.ended()
        await announce(Change("queue", ("Sent",)))
        assert (await stays.event()).name == "queue"


async def test_a_record_that_is_no_longer_theirs_tells_nothing(visitor: Visitor, world: World) -> None:
    ann = await visitor("ann")
    async with watching(ann.client, topic(world.ticket)) as watch:
        await get_model("Ticket").filter(id=world.ticket.pk).update(company_id=world.other_company.pk)
        await world.ticket.post_note("<p>Not theirs.</p>")
        with pytest.raises(EOFError):
            await watch.event()


async def test_a_user_has_so_many_streams_and_no_more(visitor: Visitor, settings: dict[str, object]) -> None:
    ann, eve = await visitor("ann"), await visitor("eve")
    async with watching(ann.client, "queue"), watching(ann.client, "queue"):
        answer = await ann.client.get("/api/live", params={"topics": "queue"})
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) > 0
        async with watching(eve.client, "queue"):
            pass
    await asyncio.sleep(0.05)
    async with watching(ann.client, "queue"):
        pass


@pytest.fixture
def settings(settings: dict[str, object]) -> dict[str, object]:
    return {**settings, "LIVE_STREAMS_PER_USER": 2}


async def test_a_stopping_server_waits_for_no_stream(world: World) -> None:
    stop, bound = asyncio.Event(), asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve("127.0.0.1", 0, stop, bound.set_result))
    _, text = await get_model("ApiToken").issue(await user("ann"), "watcher", ["read"])
    async with httpx2.AsyncClient(base_url=await bound, verify=False) as client:
        async with watching(client, "queue", headers={"Authorization": f"Bearer {text}"}) as watch:
            began = time.monotonic()
            stop.set()
            assert await watch.ended(2)
        await asyncio.wait_for(serving, 3)
    assert time.monotonic() - began < 2


async def test_who_reads_slowly_is_told_to_read_anew_and_holds_little(world: World) -> None:
    stream = await _stream("queue")
    for number in range(1, 1001):
        stream.offer(Entry(number, (Change("queue", ("Sent",)),)))
    chunks = stream.chunks(lambda: 1000)
    assert (await anext(chunks)).startswith(b"retry:")
    written = [await anext(chunks)]
    assert written[0].startswith(b"event: reset\nid: ")
    stream.offer(Entry(1001, (Change("queue", ("Failed",)),)))
    while b"1001" not in written[-1]:
        written.append(await anext(chunks))
    assert len(written) < 110


async def test_a_quiet_stream_says_that_it_is_there_and_how_far_it_is(world: World) -> None:
    stream = await _stream("queue")
    chunks = stream.chunks(lambda: 41, beat_s=0.01)
    await anext(chunks)
    assert await anext(chunks) == b": still here\nid: 41\n\n"


async def _stream(topics: str) -> Stream:
    from core.access import access_of

    return Stream(Visit(new_session()), await access_of(await user("root")), topics_of(topics))


async def test_the_other_process_is_told_within_a_second(
    database_url: str, host: Any, world: World, settings: dict[str, object], tmp_path: Path
) -> None:
    """Two servers that know each other by their database alone."""
    _, text = await get_model("ApiToken").issue(await user("ann"), "watcher", ["read", "write"])
    keys = {**settings, "DATABASE_URL": database_url, "HTTP_PORT": 0, "SECRET_KEY": "only for tests"}
    there = Postroom(tmp_path / "there", **keys)
    here = Postroom(tmp_path / "here", **keys)
    with there.running("serve") as one, here.running("serve") as two:
        addresses = await asyncio.gather(asyncio.to_thread(one.address), asyncio.to_thread(two.address))
        headers = {"Authorization": f"Bearer {text}"}
        async with (
            httpx2.AsyncClient(base_url=addresses[0], headers=headers, verify=False) as writer,
            httpx2.AsyncClient(base_url=addresses[1], headers=headers, verify=False) as reader,
            watching(reader, topic(world.ticket)) as watch,
        ):
            path = f"/api/records/Ticket/{world.ticket.pk}"
            assert (await writer.get(path)).status_code == 200
            took = []
            for stage in ("done", "new", "done"):
                answer = await writer.patch(path, json={"stage": stage})
                assert answer.status_code == 200, answer.text
                began = time.monotonic()
                assert (await watch.event(20)).name == "timeline"
                took.append(time.monotonic() - began)
            # On a machine that is busy with other things, once is enough.
            assert min(took) < 1
