"""What is said inside stays inside: whatever mails answer an internal note, and whoever follows (an invariant)."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from core.access import access_of
from core.gateway import spool
from core.gateway.receive import process
from core.runtime import Runtime, get_model
from tests.gateway.conftest import mail

pytestmark = pytest.mark.anyio

STEPS = 40
SENDERS = ("ada@customer.test", "grace@our.test", "eve@evil.test", '"grace@our.test" <eve@evil.test>')


@pytest.fixture
async def people(host: Runtime) -> dict[str, Any]:
    """A ticket that a customer with a portal login, an employee and a stranger follow."""
    ticket = await get_model("Ticket").create(name="Lamps")
    group = await get_model("Group").create(identifier="portal", name="Portal")
    for name in ("Ticket", "Message"):
        await get_model("ModelAccess").create(model=await get_model("ModelRegistry").get(name=name), group=group)
    users = {}
    for name, address in (("ada", "ada@customer.test"), ("grace", "grace@our.test")):
        contact = await get_model("Contact").create(name=name, email=address)
        users[name] = await get_model("User").create(login=address, name=name, contact=contact)
        await ticket.follow(contact)
    await users["ada"].groups.add(group)
    return {"ticket": ticket, **users}


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_comes_nothing_of_a_note_gets_out(people: dict[str, Any], seed: int) -> None:
    chance, ticket, known = Random(seed), people["ticket"], ["<none@our.test>"]
    for step in range(STEPS):
        match chance.randrange(6):
            case 0:
                note = await ticket.post_note(f"<p>Inside {step}</p>", author=people["grace"])
                # As if it had an identity that somebody could answer.
                await get_model("Message").filter(id=note.id).update(message_id=f"<note-{step}@our.test>")
                known.append(f"<note-{step}@our.test>")
            case 1:
                known.append((await ticket.post_message(f"<p>Outside {step}</p>", author=people["grace"])).message_id)
            case _:
                answered = chance.sample(known, min(len(known), chance.randint(1, 3)))
                raw = mail(
                    f"Re: {step}",
                    to=chance.choice(("someone@our.test", "catchall@our.test")),
                    sender=chance.choice(SENDERS),
                    message_id=f"<in-{step}@customer.test>",
                    In_Reply_To=answered[0],
                    References=" ".join(answered),
                )
                spool_id = await spool.store(raw, f"test:{seed}:{step}")
                assert spool_id is not None
                await process([spool_id])
                known.append(f"<in-{step}@customer.test>")
    entries = {entry.id: entry for entry in await get_model("Message").filter(res_id=ticket.id)}
    inside = {entry.id for entry in entries.values() if entry.kind == "note"}
    assert inside
    for entry in entries.values():
        assert entry.parent_id not in inside or entry.kind == "note"
        if entry.direction == "Outbound":
            secret = {entries[one].message_id for one in inside} - {None}
            assert not secret & {entry.in_reply_to, *entry.thread_references.split()}
    assert not await get_model("Delivery").filter(message_id__in=list(inside)).exists()
    assert not await get_model("Delivery").filter(message__direction="Inbound").exists()
    portal = await access_of(people["ada"])
    seen = await portal.visible(list(entries.values()))
    assert seen
    assert inside.isdisjoint(entry.id for entry in seen)


async def test_users_who_follow_are_told_of_an_answer(people: dict[str, Any]) -> None:
    sent = await people["ticket"].post_message("<p>Hello</p>", author=people["grace"])
    raw = mail("Re: Hello", to="someone@our.test", sender="ada@customer.test", In_Reply_To=sent.message_id)
    spool_id = await spool.store(raw, "test:1")
    assert spool_id is not None
    (account,) = await process([spool_id])
    told = await get_model("Notification").filter(message_id=account.message).values_list("user__name", flat=True)
    assert set(told) == {"grace"}
