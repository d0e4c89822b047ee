"""A customer who comes by the portal: Carla of the world's first ticket."""

from __future__ import annotations

from typing import Any

from core.runtime import get_model
from tests.web.conftest import HASH, World


async def open_portal(world: World) -> Any:
    """Let Carla log in as a member of the portal, who may read her own tickets, and answer on them; return her."""
    portal = await get_model("Group").create(identifier="portal", name="Portal")
    carla = await get_model("User").create(
        login="carla", name="Carla Customer", password_hash=HASH, contact=world.contact, company=world.company
    )
    await carla.groups.add(portal)
    rows = {row.identifier: row for row in await get_model("ModelRegistry").all()}
    for name in ("Ticket", "Step", "Contact"):
        await get_model("ModelAccess").create(model=rows[name], group=portal)
    await get_model("ModelAccess").create(model=rows["Message"], group=portal, can_read=False, can_create=True)
    for name, field in (("Ticket", "contact"), ("Contact", "id")):
        own = {"field": field, "op": "eq", "value": "$user.contact"}
        rule = await get_model("RecordRule").create(name=f"Own {name}", model=rows[name], where=own)
        await rule.groups.add(portal)
    agents = await get_model("Group").get(identifier="agent")
    await get_model("FieldAccess").create(model=rows["Ticket"], field="amount", group=agents, can_write=True)
    return carla
