from __future__ import annotations

import pytest

from core.host.install import plan_update, update, update_schema
from core.orm import schema
from core.runtime import Runtime, get_model

pytestmark = pytest.mark.anyio


async def test_an_update_is_whole_and_the_next_one_finds_nothing(host: Runtime) -> None:
    await schema.require_current_schema(host.database, host.addons)
    assert await update_schema(host) == schema.Plan()
    assert await get_model("ModelRegistry").filter(active=True).count() == len(list(host.registry))
    assert [row.name for row in await get_model("Addon").all()] == ["core"]


async def test_models_that_vanished_keep_an_inactive_row(host: Runtime) -> None:
    await get_model("ModelRegistry").create(identifier="Gone", name="Gone", addon="old")
    await get_model("ModelRegistry").filter(identifier="Contact").update(active=False)
    await update_schema(host)
    model = get_model("ModelRegistry")
    assert [row.identifier for row in await model.filter(active=False)] == ["Gone"]


async def test_core_ships_records_and_shipping_them_twice_writes_nothing(host: Runtime) -> None:
    planned = await plan_update(host, demo=True)
    assert await get_model("Company").all().count() == 0
    done = await update(host, demo=True)
    assert done == planned
    assert (await update(host, demo=True)).words == ()
    access = await get_model("ModelAccess").get(model__identifier="Contact", group__identifier="user")
    assert (access.can_read, access.can_write, access.can_delete) == (True, True, False)
    admin = await get_model("Group").get(identifier="admin").prefetch_related("implies")
    assert [group.identifier for group in admin.implies] == ["user"]
    assert await get_model("CronJob").filter(active=True).count() == 13
    assert (
        await get_model("Contact").get(identifier="demo_contact_ada").prefetch_related("company")
    ).company.currency == "GBP"
