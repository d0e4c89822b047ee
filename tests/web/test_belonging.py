"""What belongs to a record is seen with it: its lines, and all that a timeline is made of, by whichever path."""

from __future__ import annotations

import pytest

from core.access import access_of
from core.runtime import get_model
from tests.web.conftest import Visitor, World

pytestmark = pytest.mark.anyio


async def grant(*models: str, group: str = "agent") -> None:
    """Let a group read models that the world grants to nobody."""
    for name in models:
        model = await get_model("ModelRegistry").get(identifier=name)
        await get_model("ModelAccess").create(model=model, group=await get_model("Group").get(identifier=group))


async def test_lines_of_another_company_s_record_are_not_there(visitor: Visitor, world: World) -> None:
    ours = await get_model("Step").create(name="Glue the leg", ticket=world.ticket)
    theirs = await get_model("Step").create(name="Burn the files", ticket=world.foreign)
    ann = await visitor("ann")
    for base in ("/records/Step", "/api/records/Step"):
        listed = (await ann.get(base)).text
        assert "Glue the leg" in listed
        assert "Burn the files" not in listed
        assert (await ann.get(f"{base}/{ours.id}")).status_code == 200
        assert (await ann.get(f"{base}/{theirs.id}")).status_code == 404
    root = await visitor("root")
    assert "Burn the files" in (await root.get("/records/Step")).text


async def test_entries_are_read_only_with_their_record(visitor: Visitor, world: World) -> None:
    """Nora may read messages, and no tickets: then no message of a ticket either."""
    await grant("Message", "Tracking", "Attachment", "Follower", group="user")
    file = await get_model("Attachment").create(
        name="plan.txt", content=b"x", size_bytes=1, sha256="0" * 64, res_model="Ticket", res_id=world.ticket.id
    )
    message = await world.ticket.post_message("<p>Between us</p>", subject="Between us", to=["x@example.org"])
    world.ticket.stage = "done"
    await world.ticket.save()
    change = await get_model("Tracking").all().get()
    await world.ticket.follow(world.contact)
    follower = await get_model("Follower").all().first()
    nora, ann = await visitor("nora"), await visitor("ann")
    for model, record_id in (
        ("Message", message.id),
        ("Tracking", change.id),
        ("Attachment", file.id),
        ("Follower", follower.id),
    ):
        for base in ("/records", "/api/records"):
            assert (await nora.get(f"{base}/{model}/{record_id}")).status_code == 404, model
            assert (await ann.get(f"{base}/{model}/{record_id}")).status_code == 200, model
            for who, sees in ((nora, False), (ann, True)):
                answer = await who.get(f"{base}/{model}")
                assert (f"/{model}/{record_id}" in answer.text or f'"id":{record_id},' in answer.text) == sees, model


async def test_a_note_is_no_record_for_those_outside(visitor: Visitor, world: World) -> None:
    note = await world.ticket.post_note("<p>He is a thief</p>")
    guest, ann = await visitor("guest"), await visitor("ann")
    for path in (f"/records/Message/{note.id}", f"/api/records/Message/{note.id}"):
        assert (await guest.get(path)).status_code == 404
        assert (await ann.get(path)).status_code == 200
    assert "thief" not in (await guest.get("/api/records/Message")).text


async def test_a_part_without_its_own_company_has_that_of_the_whole(world: World) -> None:
    await get_model("Step").create(name="Theirs", ticket=world.foreign)
    eve = await access_of(await get_model("User").get(login="eve"))
    ann = await access_of(await get_model("User").get(login="ann"))
    assert await get_model("Step").filter(eve.condition("Step")).count() == 1
    assert await get_model("Step").filter(ann.condition("Step")).count() == 0
