from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx2
import pytest

from core import clock
from core.runtime import get_model
from tests.web.conftest import Visitor, World

pytestmark = pytest.mark.anyio


async def issue(login: str, *scopes: str, **options: Any) -> str:
    user = await get_model("User").get(login=login)
    return str((await get_model("ApiToken").issue(user, "test", scopes or ("read", "write"), **options))[1])


async def ask(client: httpx2.AsyncClient, text: str, path: str = "/api/records/Ticket", **options: Any) -> Any:
    return await client.get(path, headers={"Authorization": f"Bearer {text}".encode("latin-1")}, **options)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "Token", "TOKEN"])
async def test_a_token_acts_as_its_user(visitor: Visitor, scheme: str) -> None:
    program = (await visitor()).client
    text = await issue("ann")
    answer = await program.get("/api/records/Ticket", headers={"Authorization": f"{scheme} {text}"})
    assert answer.status_code == 200
    assert [one["name"] for one in answer.json()["items"]] == ["Broken chair"]
    token = await get_model("ApiToken").get()
    assert (text not in token.secret_hash, token.secret_hash.startswith("$argon2id$")) == (True, True)


async def test_what_is_no_good_token_is_told_alike(visitor: Visitor) -> None:
    program = (await visitor()).client
    good = await issue("ann")
    answers = [
        await ask(program, text)
        for text in (good[:-1] + ("0" if good[-1] != "0" else "1"), "pr_0123456789ab_" + "0" * 40, "x", "\xff")
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.json()["detail"] for answer in answers}) == 1
    assert {answer.headers["www-authenticate"] for answer in answers} == {'Bearer error="invalid_token"'}
    nobody = await program.get("/api/records/Ticket")
    assert (nobody.status_code, nobody.headers["www-authenticate"]) == (401, "Bearer")


async def test_what_ends_a_token_ends_it_at_once(visitor: Visitor, world: World) -> None:
    program = (await visitor()).client
    expired = await issue("ann", expires_at=clock.now() + timedelta(seconds=60))
    for login in ("ann", "eve"):
        text = await issue(login)
        assert (await ask(program, text)).status_code == 200
        if login == "ann":
            await get_model("ApiToken").filter(prefix=text.split("_")[1]).update(revoked_at=clock.now())
        else:
            await get_model("User").filter(login=login).update(active=False)
        assert (await ask(program, text)).status_code == 401
    await get_model("ApiToken").filter(prefix=expired.split("_")[1]).update(expires_at=clock.now())
    assert (await ask(program, expired)).status_code == 401


async def test_scopes_are_kept(visitor: Visitor, world: World) -> None:
    program = (await visitor()).client
    reading, writing = await issue("ann", "read"), await issue("ann", "write")
    add = {"url": "/api/suppression", "json": {"address": "a@example.org"}}
    refused = await program.post(**add, headers={"Authorization": f"Bearer {reading}"})
    assert refused.status_code == 403
    assert refused.headers["www-authenticate"] == 'Bearer error="insufficient_scope", scope="write"'
    assert (await program.post(**add, headers={"Authorization": f"Bearer {writing}"})).status_code == 201
    assert (await ask(program, writing)).status_code == 403


async def test_a_token_opens_no_page(visitor: Visitor, world: World) -> None:
    program = (await visitor()).client
    assert (await ask(program, await issue("ann"), "/records/Ticket")).status_code == 303
