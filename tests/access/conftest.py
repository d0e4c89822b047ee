"""An office with tickets of two companies, and the people whose rights the tests change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from core.access import Access, access_of
from core.runtime import Runtime, get_model
from tests.web.conftest import settings

__all__ = ["settings"]


@dataclass(frozen=True, slots=True)
class Office:
    """Our company and theirs with a ticket each, and a ticket of no company."""

    ours: Any
    theirs: Any
    ticket: Any
    foreign: Any
    shared: Any
    agents: Any
    """A group that may all with tickets and their steps, and read contacts; it implies the internal one."""
    portal: Any
    user: Any
    """An agent of our company."""
    visitor: Any
    """A member of the portal, who may read tickets."""

    async def access(self) -> Access:
        return await access_of(await get_model("User").get(id=self.user.id))

    async def visitor_access(self) -> Access:
        return await access_of(await get_model("User").get(id=self.visitor.id))


async def grant(model: str, group: Any, **rights: bool) -> None:
    """Let a group read a model, and what else is said."""
    row = await get_model("ModelRegistry").get(identifier=model)
    await get_model("ModelAccess").update_or_create(rights, model=row, group=group)


async def rule(model: str, where: object, *groups: Any, **values: Any) -> Any:
    """Make a RecordRule."""
    row = await get_model("ModelRegistry").get(identifier=model)
    made = await get_model("RecordRule").create(name=f"Some of {model}", model=row, where=where, **values)
    await made.groups.add(*groups)
    return made


async def gate(model: str, field: str, group: Any, **values: Any) -> Any:
    """Make a FieldAccess."""
    row = await get_model("ModelRegistry").get(identifier=model)
    return await get_model("FieldAccess").create(model=row, field=field, group=group, **values)


@pytest.fixture
async def office(host: Runtime) -> Office:
    get = get_model
    ours, theirs = [await get("Company").create(name=name) for name in ("Ours", "Theirs")]
    internal = await get("Group").create(identifier="user", name="User")
    agents = await get("Group").create(identifier="agent", name="Agent")
    portal = await get("Group").create(identifier="portal", name="Portal")
    await agents.implies.add(internal)
    for model in ("Ticket", "Step"):
        await grant(model, agents, can_create=True, can_write=True, can_delete=True)
    for model in ("Contact", "Message", "Attachment", "Company"):
        await grant(model, agents)
    await grant("Ticket", portal)
    contact = await get("Contact").create(name="Carla Customer", email="carla@example.org")
    user = await get("User").create(login="ann", name="Ann", company=ours)
    visitor = await get("User").create(login="carla", name="Carla", contact=contact)
    await user.groups.add(agents)
    await visitor.groups.add(portal)
    return Office(
        ours=ours,
        theirs=theirs,
        ticket=await get("Ticket").create(name="Broken chair", company=ours, contact=contact, secret="hidden!"),
        foreign=await get("Ticket").create(name="Theirs alone", company=theirs),
        shared=await get("Ticket").create(name="For all"),
        agents=agents,
        portal=portal,
        user=user,
        visitor=visitor,
    )
