from __future__ import annotations

import asyncio
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
    assert "Authorization: Bearer" in nobody.json()["detail"]


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


async def test_a_route_s_own_scope_counts(visitor: Visitor, world: World) -> None:
    program = (await visitor()).client
    both, mail, admin = await issue("root"), await issue("root", "mail"), await issue("root", "admin")
    answers = [(await ask(program, text, "/api/audit")).status_code for text in (both, mail, admin)]
    assert answers == [403, 403, 200]
    answers = [(await ask(program, text, "/api/core/mail/pull")).status_code for text in (both, mail, admin)]
    assert answers[0] == answers[2] == 403
    assert answers[1] != 403


async def test_a_token_without_admin_changes_nothing_of_the_host(visitor: Visitor, world: World) -> None:
    program = (await visitor()).client
    plain, admin = await issue("root"), await issue("root", "write", "admin")
    group = {"identifier": "new", "name": "New"}
    answers = [
        await program.post("/api/records/Group", json=group, headers={"Authorization": f"Bearer {text}"})
        for text in (plain, admin)
    ]
    assert [answer.status_code for answer in answers] == [403, 201]
    assert "needs the scope admin" in answers[0].json()["detail"]
    assert "Group" not in str((await ask(program, plain, "/api/auth/me")).json()["rights"].get("write", ""))
    registry = await get_model("ModelRegistry").get(identifier="Ticket")
    for path, body in (
        ("QueueSuspension", {"name": "queue"}),
        (f"ModelRegistry/{registry.pk}", {"identifier": "User"}),
    ):
        method, url = ("PATCH" if "/" in path else "POST"), f"/api/records/{path}"
        answer = await program.request(method, url, json=body, headers={"Authorization": f"Bearer {plain}"})
        assert answer.status_code == 403, path
    contact = {"name": "Carl", "email": "carl@example.org"}
    made = await program.post("/api/records/Contact", json=contact, headers={"Authorization": f"Bearer {plain}"})
    assert made.status_code == 201


async def test_no_token_makes_another_or_changes_a_password(visitor: Visitor, world: World) -> None:
    program = (await visitor()).client
    program.headers["Authorization"] = f"Bearer {await issue('root', 'read', 'write', 'mail', 'admin')}"
    new = {"name": "more", "scopes": ["read"]}
    answers = [
        await program.post("/api/auth/tokens", json=new),
        await program.post("/api/auth/password", json={"old": "secret", "new": "another one"}),
        await program.get("/api/auth/sessions"),
        await program.post("/api/auth/logout"),
    ]
    assert [answer.status_code for answer in answers] == [403] * 4
    assert (await program.get("/api/auth/tokens")).json()["items"][0]["name"] == "test"


async def test_people_make_tokens_within_their_rights(visitor: Visitor, world: World) -> None:
    ann, eve = await visitor("ann"), await visitor("eve")
    made = await ann.client.post("/api/auth/tokens", json={"name": "reports", "scopes": ["read", "mail"]})
    assert made.status_code == 201
    token = made.json()
    assert (token["scopes"], token["fault"]) == (["read", "mail"], "")
    assert (await ask(ann.client, token["token"])).status_code == 200
    late = {"expires_at": "9999-12-31T23:59:59-12:00"}
    for bad in (
        late,
        {"scopes": ["admin"]},
        {"scopes": ["all"]},
        {"scopes": []},
        {"expires_at": "2001-01-01T00:00:00Z"},
    ):
        refused = await ann.client.post("/api/auth/tokens", json={"name": "x", "scopes": ["read"], **bad})
        assert refused.status_code == 422
    path = f"/api/auth/tokens/{token['id']}"
    assert (await eve.client.delete(path, headers={"X-CSRF-Token": eve.token})).status_code == 404
    assert (await ann.client.delete(path, headers={"X-CSRF-Token": ann.token})).status_code == 204
    assert (await ask(ann.client, token["token"])).status_code == 401
    assert token["token"] not in (await ann.client.get("/api/auth/tokens")).text


async def test_who_guesses_has_to_wait_and_the_owner_has_not(visitor: Visitor, world: World) -> None:
    program = (await visitor()).client
    good = await issue("ann")
    assert (await ask(program, good)).status_code == 200
    guesses = [(await ask(program, f"pr_0123456789ab_{number:040x}")).status_code for number in range(12)]
    assert guesses == [401] * 10 + [429] * 2
    assert (await ask(program, good)).status_code == 200


async def test_many_requests_at_once_ask_about_a_new_token_once(visitor: Visitor, world: World) -> None:
    program = (await visitor()).client
    good = await issue("ann")
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(ask(program, good)) for _ in range(20)]
    assert {one.result().status_code for one in asked} == {200}


async def test_the_use_of_a_token_is_noted_once_a_minute(visitor: Visitor, world: World) -> None:
    program = (await visitor()).client
    good = await issue("ann")
    await ask(program, good)
    first = await get_model("ApiToken").get()
    await ask(program, good)
    assert (await get_model("ApiToken").get()).last_used_at == first.last_used_at
    assert first.last_used_from == "127.0.0.1"
    await get_model("ApiToken").all().update(last_used_at=first.last_used_at - timedelta(minutes=1))
    await ask(program, good)
    assert (await get_model("ApiToken").get()).last_used_at >= first.last_used_at


async def test_two_headers_are_none(visitor: Visitor, world: World) -> None:
    program = (await visitor()).client
    good = await issue("ann")
    twice = [("Authorization", f"Bearer {good}"), ("Authorization", f"Bearer {good}")]
    assert (await program.get("/api/auth/me", headers=twice)).status_code == 401


async def test_large_bodies_are_for_good_tokens(visitor: Visitor, world: World) -> None:
    program = (await visitor()).client
    large = {"name": "x" * 100_000}
    good = {"Authorization": f"Bearer {await issue('ann')}"}
    assert (await program.post("/api/records/Contact", json=large, headers=good)).status_code == 422
    bad = {"Authorization": "Bearer pr_0123456789ab_" + "0" * 40}
    assert (await program.post("/api/records/Contact", json=large, headers=bad)).status_code == 413


async def test_the_description_says_which_scopes_a_path_needs(visitor: Visitor, world: World) -> None:
    root = await visitor("root")
    paths = (await root.get("/openapi.json")).json()["paths"]
    session: dict[str, list[str]] = {"session": []}
    assert paths["/api/auth/me"]["get"]["security"] == [{"token": ["read"]}, session]
    assert paths["/api/records/{model}/query"]["post"]["security"] == [{"token": ["read"]}, session]
    assert paths["/api/email/send"]["post"]["security"] == [{"token": ["mail"]}, session]
    assert paths["/api/auth/login"]["post"]["security"] == []
