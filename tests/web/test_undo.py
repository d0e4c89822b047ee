"""Taking a message back, sending it later, and stopping the queue, as somebody at the page does it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from core.access import Right, access_of
from core.delivery.suspension import suspension
from core.runtime import get_model
from tests.web.conftest import Visitor, World

pytestmark = pytest.mark.anyio
RECORD = "/records/Ticket/{id}"


async def _send(browser: Any, world: World, **fields: str) -> Any:
    return await browser.post(
        f"{RECORD.format(id=world.ticket.id)}/message",
        **{"body": "The chair is mended.", "subject": "Your chair", "to": "carla@example.org", **fields},
    )


async def test_a_message_is_taken_back_edited_and_sent(visitor: Visitor, world: World) -> None:
    ann = await visitor("ann")
    await _send(ann, world)
    page = (await ann.get(RECORD.format(id=world.ticket.id))).text
    undo = re.search(r'action="(/messages/(\d+)/undo)"', page)
    assert undo is not None
    answer = await ann.post(undo[1])
    assert answer.status_code == 303
    draft_id = undo[2]
    again = (await ann.get(f"{RECORD.format(id=world.ticket.id)}?draft={draft_id}")).text
    assert "Not sent." in again
    assert "The chair is mended." in again
    assert f'name="draft" value="{draft_id}"' in again
    await _send(ann, world, body="The chair is new.", draft=draft_id)
    (message,) = await get_model("Message").filter(res_id=world.ticket.id, direction="Outbound")
    assert (message.send_state, message.pk != int(draft_id)) == ("Queued", True)
    assert "new" in message.body


async def test_a_template_is_taken_back_for_good(visitor: Visitor, world: World) -> None:
    """The form of a record cannot show its markup and its files, so they are not cut down to a text to edit."""
    model = await get_model("ModelRegistry").get(identifier="Ticket")
    html = "<h1>Hello</h1>"
    await get_model("EmailTemplate").create(identifier="greet", name="Greet", subject="Hi", content=html, model=model)
    ann, page = await visitor("ann"), RECORD.format(id=world.ticket.id)
    await ann.get(f"{page}/template/greet")
    await ann.post(f"{page}/template/greet")
    undo = re.search(r'action="(/messages/\d+/undo)"', (await ann.get(page)).text)
    assert undo is not None
    assert "#entry-" in (await ann.post(undo[1])).headers["location"]
    message = await get_model("Message").get(direction="Outbound")
    assert (message.send_state, message.body) == ("Cancelled", html)


async def test_a_draft_is_thrown_away_and_nothing_else_is(visitor: Visitor, world: World) -> None:
    ann = await visitor("ann")
    await _send(ann, world)
    message = await get_model("Message").get(direction="Outbound")
    assert (await ann.post(f"/messages/{message.pk}/discard")).status_code == 422
    await ann.post(f"/messages/{message.pk}/undo")
    assert (await ann.post(f"/messages/{message.pk}/discard")).status_code == 303
    assert not await get_model("Message").filter(direction="Outbound").exists()


async def test_a_foreign_draft_is_not_taken_for_ones_own(visitor: Visitor, world: World) -> None:
    foreign = await get_model("Message").create(
        res_model="Ticket", res_id=world.foreign.id, kind="message", send_state="Draft", body="<p>secret plan</p>"
    )
    ann = await visitor("ann")
    page = await ann.get(f"{RECORD.format(id=world.ticket.id)}?draft={foreign.pk}")
    assert "secret plan" not in page.text
    await _send(ann, world, draft=str(foreign.pk))
    assert await get_model("Message").filter(id=foreign.pk).exists()


async def test_a_message_can_be_sent_later_and_with_importance(visitor: Visitor, world: World) -> None:
    ann = await visitor("ann")
    user = await get_model("User").get(login="ann")
    user.timezone = "Europe/Berlin"
    await user.save()
    await _send(ann, world, send_at="2035-07-01T09:30", importance="high")
    message = await get_model("Message").get(direction="Outbound")
    assert message.scheduled_at == datetime(2035, 7, 1, 7, 30, tzinfo=UTC)
    assert (message.importance, message.priority) == ("high", 5)
    answer = await _send(ann, world, send_at="tomorrow")
    assert answer.status_code == 422
    assert "is no time" in answer.text


async def test_an_administrator_suspends_the_queue_and_others_cannot(visitor: Visitor, world: World) -> None:
    ann, root = await visitor("ann"), await visitor("root")
    assert (await ann.post("/outbox/suspend", reason="x")).status_code == 403
    await root.post("/outbox/suspend", reason="The relay <moves>")
    page = (await ann.get("/outbox")).text
    assert "The relay &lt;moves&gt;" in page
    assert "/outbox/resume" not in page
    assert "/outbox/resume" in (await root.get("/outbox")).text
    await root.post("/outbox/resume")
    assert await suspension() is None


async def _without_right(login: str) -> None:
    """Leave the user what everybody in a new installation may do with messages: write new ones."""
    await get_model("ModelAccess").filter(model__identifier="Message").update(can_write=False, can_delete=False)
    assert not (await access_of(await get_model("User").get(login=login))).may("Message", Right.WRITE)


async def test_whoever_wrote_it_takes_it_back_and_nobody_else_beside_those_who_may_all(
    visitor: Visitor, world: World
) -> None:
    await _without_right("ann")
    ann, guest, path = await visitor("ann"), await visitor("guest"), RECORD.format(id=world.ticket.id)
    await _send(ann, world)
    message = await get_model("Message").get(direction="Outbound")
    assert "/undo" in (await ann.get(path)).text
    assert "/undo" not in (await guest.get(path)).text
    assert (await guest.post(f"/messages/{message.pk}/undo")).status_code == 403
    assert (await ann.post(f"/messages/{message.pk}/undo")).status_code == 303
    for way in (guest.post(f"/messages/{message.pk}/discard"), _send(guest, world, draft=str(message.pk))):
        await way
    assert await get_model("Message").filter(id=message.pk, send_state="Draft").exists()
    assert (await ann.post(f"/messages/{message.pk}/discard")).status_code == 303


async def test_what_was_taken_back_is_shown_to_nobody_outside(visitor: Visitor, world: World) -> None:
    ann, guest, path = await visitor("ann"), await visitor("guest"), RECORD.format(id=world.ticket.id)
    await _send(ann, world, body="This customer is a thief.", subject="The chair of a thief")
    message = await get_model("Message").get(direction="Outbound")
    await ann.post(f"/messages/{message.pk}/undo")
    shown = f"/messages/{message.pk}"
    lists = (f"/api{path}/timeline", "/api/records/Message", "/outbox", "/records/Message")
    for place in (
        path,
        f"{path}?draft={message.pk}",
        *lists,
        shown,
        f"/api/records/Message/{message.pk}",
        f"{shown}/draft.eml",
        f"{shown}/body",
    ):
        assert "thief" not in (await guest.get(place)).text, place
    assert "thief" in (await ann.get(path)).text


@pytest.mark.parametrize(
    "at", ["9999-12-31T23:59", "0001-01-01T00:00", "0001-01-01T00:00+23:59", "9999-12-31T23:59-12:00"]
)
async def test_a_time_that_not_every_zone_has_is_refused(visitor: Visitor, world: World, at: str) -> None:
    """One such message would keep the outbox from everybody who lives elsewhere."""
    ann = await visitor("ann")
    assert (await _send(ann, world, send_at=at)).status_code == 422
    assert not await get_model("Message").filter(direction="Outbound").exists()
