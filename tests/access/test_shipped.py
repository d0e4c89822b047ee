"""The rules that core ships."""

from __future__ import annotations

import pytest

from core.access import access_of
from core.host.install import update
from core.runtime import Runtime, get_model

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings() -> dict[str, object]:
    return {"ADDONS": ["core"]}


async def test_news_are_one_s_own(host: Runtime) -> None:
    await update(host)
    message = await get_model("Message").create(subject="x")
    for login in ("ann", "bob"):
        user = await get_model("User").create(login=login, name=login)
        await user.groups.add(await get_model("Group").get(identifier="user"))
        await get_model("Notification").create(message=message, user=user)
    access = await access_of(await get_model("User").get(login="ann"))
    assert await access.records("Notification").values_list("user__login", flat=True) == ["ann"]


async def test_the_portal_sees_itself_and_its_organisation(host: Runtime) -> None:
    await update(host)
    works, ada, other = [await get_model("Contact").create(name=name) for name in ("Works", "Ada", "Other")]
    ada.parent = works
    await ada.save()
    user = await get_model("User").create(login="ada", name="Ada", contact=ada)
    await user.groups.add(await get_model("Group").get(identifier="portal"))
    access = await access_of(user)
    assert not access.is_internal
    assert set(await access.records("Contact").values_list("name", flat=True)) == {"Works", "Ada"}
    assert other.name not in [one.name for one in await access.records("Contact")]
    assert sorted(model for model, _ in access.grants) == ["Contact", "Message"]
