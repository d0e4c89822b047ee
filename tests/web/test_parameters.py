"""Whatever stands in an address, the answer is one that was meant: never a fault of ours."""

from __future__ import annotations

import re

import pytest

from tests.web.conftest import Visitor, World
from tests.web.test_access import filled, routes, stock

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("number", [10**30, 2**63, -(10**30)])
async def test_no_number_is_too_large_to_be_answered(visitor: Visitor, world: World, number: int) -> None:
    ids = await stock(world.ticket, world.company)
    root = await visitor("root")
    for method, path in routes():
        # A session visits mail accounts by POST alone.
        if method != "GET" or path in {"/api/desk/broken", "/login"} or path.startswith("/api/core/mail/"):
            continue
        names = set(re.findall(r"{(\w+_id|index)", path))
        for name in names:
            status = (await root.client.get(filled(path, {**ids, name: number}))).status_code
            assert status in (404, 422), path
        for query in ("before", "after"):
            status = (await root.client.get(f"{filled(path, ids)}?{query}={number}")).status_code
            assert status in (200, 404, 422), (path, query)


@pytest.mark.parametrize("words", ["a" * 60_000, "%00", "%25_%5C", "%ff"])
async def test_no_words_are_too_odd_to_be_looked_for(visitor: Visitor, world: World, words: str) -> None:
    root = await visitor("root")
    for path in ("/records/Ticket", "/api/records/Ticket", "/dev/mail", "/api/dev/mail"):
        for query in ("q", "query"):
            assert (await root.client.get(f"{path}?{query}={words}")).status_code in (200, 422), path
    assert (await root.client.get(f"/records/Ticket/1/template/{words[:1000]}")).status_code in (404, 422)
