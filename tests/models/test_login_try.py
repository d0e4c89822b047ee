from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from core import clock
from core.runtime import Runtime, get_model

pytestmark = pytest.mark.anyio


async def test_tries_are_counted_until_their_time_is_over(host: Runtime) -> None:
    tries = get_model("LoginTry")
    waits = [await tries.count_one("ann", 3, 60) for _ in range(5)]
    assert waits[:3] == [0, 0, 0]
    assert all(50 < wait_s <= 60 for wait_s in waits[3:])
    assert await tries.count_one("eve", 3, 60) == 0
    await tries.all().update(ends_at=clock.now() - timedelta(seconds=1))
    assert await tries.count_one("ann", 3, 60) == 0
    assert await tries.cron_prune() == 1
    await tries.forget("ann")
    assert await tries.all().count() == 0


async def test_tries_at_once_are_all_counted(host: Runtime) -> None:
    tries = get_model("LoginTry")
    waits = await asyncio.gather(*(tries.count_one("ann", 5, 60) for _ in range(20)))
    assert sum(wait_s == 0 for wait_s in waits) == 5


async def test_a_session_and_a_token_live_on_either_database(host: Runtime) -> None:
    user = await get_model("User").create(login="ann", name="Ann")
    row = await get_model("UserSession").open(user, "::1", "Browser\x00 \U0001f98a" + "x" * 300)
    found = await get_model("UserSession").current(row.key)
    assert (found.user.login, found.agent[:10], len(found.agent)) == ("ann", "Browser  \U0001f98a", 255)
    _, text = await get_model("ApiToken").issue(user, "reports", ["write", "read"])
    token = await get_model("ApiToken").named_in(text)
    assert (token.scopes, token.fault) == (["read", "write"], "")
    await token.note_use("2001:db8::1")
    assert (await get_model("ApiToken").get()).last_used_from == "2001:db8::1"
    await user.change_password("a longer secret")
    assert await get_model("UserSession").current(row.key) is None
    assert await get_model("User").authenticate("ANN", "a longer secret") is not None
