"""What was written is looked at again before it is kept: nothing goes where its writer may not go."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from core.access import Access, Right, access_of
from core.errors import AccessDenied
from core.orm.transaction import transaction
from core.runtime import get_model
from tests.access.conftest import Office, grant, rule
from tests.orm.statements import counted

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def refused(words: str) -> AsyncIterator[None]:
    with pytest.raises(AccessDenied, match=words):
        async with transaction():
            yield


async def put(access: Access, record: Any, right: Right = Right.WRITE, **values: Any) -> None:
    """Change a record as the API does."""
    for name, value in values.items():
        setattr(record, name, value)
    await record.save()
    await access.check_written([record], right, values)


async def test_a_record_does_not_go_to_a_company_that_is_not_one_s_own(office: Office) -> None:
    async with refused("You may not write Ticket 1 as it would be then: it would be another company's"):
        await put(await office.access(), office.ticket, company_id=office.theirs.id)
    await office.ticket.refresh_from_db()
    assert office.ticket.company_id == office.ours.id
    await office.user.companies.add(office.theirs)
    async with transaction():
        await put(await office.access(), office.ticket, company_id=office.theirs.id)


async def test_none_is_made_there_either(office: Office) -> None:
    async with refused("You may not create Ticket"):
        made = await get_model("Ticket").create(name="Smuggled", company=office.theirs)
        await (await office.access()).check_written([made], Right.CREATE)
    assert not await get_model("Ticket").exists(name="Smuggled")


async def test_a_record_stays_within_the_rules(office: Office) -> None:
    await rule("Ticket", {"field": "stage", "op": "eq", "value": "new"}, can_read=False)
    async with refused("You may not write Ticket 1"):
        await put(await office.access(), office.ticket, stage="done")


async def test_a_part_does_not_go_to_a_record_of_another_company(office: Office) -> None:
    step = await get_model("Step").create(name="Glue", ticket=office.ticket)
    async with refused("You may not write Step 1"):
        await put(await office.access(), step, ticket_id=office.foreign.id)


async def test_what_hangs_on_records_does_not_go_to_one_that_is_none_of_one_s_own(office: Office) -> None:
    await grant("Activity", office.agents, can_create=True, can_write=True)
    await grant("Activity", office.portal, can_create=True)
    await office.visitor.companies.add(office.ours)
    for access, ticket, fits in (
        (await office.access(), office.ticket, True),
        (await office.access(), office.foreign, False),
        (await office.visitor_access(), office.ticket, False),  # It may read the ticket, and no more.
    ):
        made = await get_model("Activity").create(res_model="Ticket", res_id=ticket.id, due_on="2030-01-01")
        if fits:
            await access.check_written([made], Right.CREATE)
            continue
        with pytest.raises(AccessDenied):
            await access.check_written([made], Right.CREATE)


async def test_what_hangs_on_records_is_not_taken_off_them(office: Office) -> None:
    await grant("Activity", office.agents, can_create=True, can_write=True)
    made = await get_model("Activity").create(res_model="Ticket", res_id=office.ticket.id, due_on="2030-01-01")
    async with refused("You may not write Activity"):
        await put(await office.access(), made, res_model="")


async def test_who_may_read_no_record_sees_nothing_that_hangs_on_one(office: Office) -> None:
    alone = await get_model("Group").create(identifier="alone", name="Alone")
    await grant("Activity", alone)
    user = await get_model("User").create(login="al", name="Al", company=office.ours)
    await user.groups.add(alone)
    for model, record_id in (("Ticket", office.ticket.id), ("", 1)):
        await get_model("Activity").create(res_model=model, res_id=record_id, due_on="2030-01-01")
    assert await (await access_of(user)).records("Activity").count() == 0


async def test_nothing_is_linked_that_its_writer_may_not_read(office: Office) -> None:
    hidden = await get_model("Contact").create(name="Zoe", company=office.theirs)
    access = await office.access()
    async with refused(f"You may not link Ticket.contact to Contact {hidden.id}"):
        await put(access, office.ticket, contact_id=hidden.id)
    # Another's link stays, and hinders nobody who changes something else.
    await get_model("Ticket").filter(id=office.ticket.id).update(contact_id=hidden.id)
    await office.ticket.refresh_from_db()
    await put(access, office.ticket, name="Mended chair")


async def test_nor_is_one_of_many(office: Office) -> None:
    await grant("Message", office.agents, can_create=True, can_write=True)
    file = {"content": b"x", "size_bytes": 1, "sha256": "0"}
    theirs = await get_model("Attachment").create(name="t", res_model="Ticket", res_id=office.foreign.id, **file)
    ours = await get_model("Attachment").create(name="o", res_model="Ticket", res_id=office.ticket.id, **file)
    message = await office.ticket.post_message("<p>x</p>", attachments=[ours])
    access = await office.access()
    await access.check_written([message], fields=["attachments"])
    await message.attachments.add(theirs)
    with pytest.raises(AccessDenied, match=r"You may not link Message\.attachments to Attachment"):
        await access.check_written([message], fields=["attachments"])


async def test_the_statements_do_not_grow_with_the_records(office: Office) -> None:
    access = await office.access()
    tickets = [
        await get_model("Ticket").create(name=f"T{at}", contact=office.ticket.contact, company=office.ours)
        for at in range(50)
    ]
    async with counted() as few:
        await access.check_written(tickets[:5])
    async with counted() as many:
        await access.check_written(tickets)
    assert few.statements == many.statements
