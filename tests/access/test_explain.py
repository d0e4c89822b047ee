"""The explanation says what happens, whatever stands in the way."""

from __future__ import annotations

from typing import Any

import pytest

from core.access import Right, access_of
from core.access.explain import Explanation, explain
from core.errors import AccessDenied, UnknownName
from core.runtime import get_model
from tests.access.conftest import Office, gate, grant, rule

pytestmark = pytest.mark.anyio


def denials(told: Explanation) -> list[tuple[str, str]]:
    return [(step.asked, step.reason) for step in told.steps if not step.allows]


async def happens(login: str, model: str, record_id: int, right: Right) -> bool:
    access = await access_of(await get_model("User").get(login=login))
    try:
        await access.find(model, record_id, right)
    except (AccessDenied, UnknownName):
        return False
    return True


async def test_it_says_what_happens(office: Office) -> None:
    await get_model("User").create(login="root", name="Root", is_admin=True)
    await rule("Ticket", {"field": "stage", "op": "eq", "value": "new"}, office.agents, can_read=False)
    await rule("Ticket", {"field": "contact", "op": "eq", "value": "$user.contact"}, office.portal)
    await get_model("Ticket").filter(id=office.shared.id).update(stage="done")
    await grant("Message", office.portal)
    about: list[tuple[str, int]] = [("User", office.user.id), ("Group", office.agents.id)]
    for ticket in (office.ticket, office.foreign, office.shared):
        step = await get_model("Step").create(name="Glue", ticket=ticket)
        note = await ticket.post_note("<p>x</p>")
        about += [("Ticket", ticket.id), ("Step", step.id), ("Message", note.id)]
    for login in ("ann", "carla", "root"):
        for model, record_id in about:
            for right in Right:
                told = await explain(login, model, record_id, right)
                assert told.allows == await happens(login, model, record_id, right), told
                assert told.allows or denials(told)


async def test_each_cause_is_named(office: Office) -> None:
    async def why(login: str, model: str, record: Any = None, right: Right = Right.READ) -> str:
        ((_, reason),) = denials(await explain(login, model, record and record.id, right))
        return reason

    assert await why("ann", "Ticket", office.foreign) == (
        "It belongs to Theirs, and they work for Ours: not within this limit."
    )
    assert await why("ann", "Contact", right=Right.WRITE) == (
        "No group of theirs (agent, user) may write Contact; add a ModelAccess."
    )
    assert await why("carla", "Step") == "No group of theirs (portal) may read Step; these may: agent."
    step = await get_model("Step").create(name="Burn", ticket=office.foreign)
    assert await why("ann", "Step", step) == "It is a part of Ticket 2 (ticket): not within this limit."
    note = await office.foreign.post_note("<p>x</p>")
    reasons = [reason for _, reason in denials(await explain("ann", "Message", note.id))]
    assert "It hangs on Ticket 2: not within this limit." in reasons
    await rule("Ticket", {"field": "name", "op": "eq", "value": "x"}, office.agents)
    assert await why("ann", "Ticket", office.ticket) == 'The rule "Some of Ticket": not within this limit.'
    await grant("Group", office.agents, can_write=True)
    assert await why("ann", "Group", right=Right.WRITE) == (
        "Only administrators write Group, whatever a group's rights."
    )
    await get_model("User").filter(id=office.visitor.id).update(active=False)
    assert await why("carla", "Ticket") == "carla is switched off; `postroom user enable carla`."


async def test_without_a_record_the_limits_are_told(office: Office) -> None:
    await rule("Ticket", {"field": "name", "op": "eq", "value": "x"})
    told = await explain("ANN", "Ticket")
    assert told.verdict == "ann may read Ticket."
    assert [step.reason for step in told.steps][2:] == [
        'Only some records: those of the rule "Some of Ticket".',
        "Only some records: those of Ours, and those of no company.",
    ]


async def test_fields_that_are_closed_are_named(office: Office) -> None:
    await gate("Ticket", "amount", office.portal, can_read=False)
    told = await explain("ann", "Ticket", office.ticket.id)
    assert [field.reason for field in told.fields] == [
        "Ticket.amount is for the groups of its FieldAccess rows.",
        "Ticket.secret is a secret, which nobody reads.",
    ]
    await grant("User", office.agents, can_write=True)
    told = await explain("ann", "User", right=Right.WRITE)
    assert "Only administrators write User.is_admin." in [field.reason for field in told.fields]


async def test_what_is_not_there_is_said(office: Office) -> None:
    for asked in (("nobody", "Ticket", None), ("ann", "Tickt", None), ("ann", "Ticket", 99)):
        with pytest.raises(UnknownName):
            await explain(*asked)
