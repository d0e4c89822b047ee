from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from core import clock
from core.runtime import get_model
from core.web.session import COOKIE
from tests.web.browser import Browser
from tests.web.conftest import Visitor, World

pytestmark = pytest.mark.anyio


async def sign_in(browser: Browser, login: str, password: str = "secret") -> Any:
    """Log in as a program with a cookie jar does."""
    answer = await browser.client.post("/api/auth/login", json={"login": login, "password": password})
    if answer.status_code == 200:
        browser.client.headers["X-CSRF-Token"] = answer.json()["csrf"]
    return answer


async def test_a_program_logs_in_and_out(visitor: Visitor, world: World) -> None:
    ann = await visitor()
    assert (await sign_in(ann, "ann")).status_code == 200
    me = (await ann.client.get("/api/auth/me")).json()
    assert (me["login"], me["company"]["name"], me["scopes"]) == ("ann", "Ours", None)
    assert me["groups"] == ["agent", "head", "user"]
    assert me["rights"]["Ticket"] == ["read", "create", "write", "delete"]
    assert "User" not in me["rights"]
    assert (await ann.client.post("/api/auth/logout")).status_code == 204
    assert (await ann.client.get("/api/auth/me")).status_code == 401


async def test_a_copied_cookie_dies_at_logout(visitor: Visitor) -> None:
    ann, thief = await visitor("ann"), await visitor()
    thief.client.cookies.set(COOKIE, ann.client.cookies[COOKIE])
    assert (await thief.get("/api/auth/me")).status_code == 200
    await ann.post("/logout")
    assert (await thief.get("/api/auth/me")).status_code == 401


async def test_a_new_password_ends_the_other_sessions(visitor: Visitor) -> None:
    here, there = await visitor("ann"), await visitor("ann")
    here.client.headers["X-CSRF-Token"] = here.token
    change = {"old": "secret", "new": "a longer secret"}
    wrong = await here.client.post("/api/auth/password", json={**change, "old": "guess"})
    assert (wrong.status_code, wrong.json()["code"]) == (403, "wrong_password")
    short = await here.client.post("/api/auth/password", json={**change, "new": "short"})
    assert (short.status_code, short.json()["code"]) == (422, "user_error")
    assert (await here.client.post("/api/auth/password", json=change)).status_code == 204
    assert (await here.get("/api/auth/me")).status_code == 200
    assert (await there.get("/api/auth/me")).status_code == 401
    assert (await sign_in(there, "ann")).status_code == 401
    assert (await sign_in(there, "ann", "a longer secret")).status_code == 200


async def test_people_see_and_end_their_own_sessions_alone(visitor: Visitor) -> None:
    here, there, eve = await visitor("ann"), await visitor("ann"), await visitor("eve")
    shown = (await here.get("/api/auth/sessions")).json()["items"]
    assert [one["is_current"] for one in shown] == [False, True]
    assert shown[0]["address"] == "127.0.0.1"
    assert shown[0]["agent"].startswith("python-httpx")
    path = f"/api/auth/sessions/{shown[0]['id']}"
    assert (await eve.client.delete(path, headers={"X-CSRF-Token": eve.token})).status_code == 404
    assert (await here.client.delete(path, headers={"X-CSRF-Token": here.token})).status_code == 204
    assert (await there.get("/api/auth/me")).status_code == 401
    again = await visitor("ann")
    assert (await here.client.delete("/api/auth/sessions", headers={"X-CSRF-Token": here.token})).status_code == 204
    assert [(await one.get("/api/auth/me")).status_code for one in (here, again, eve)] == [200, 401, 200]


async def test_a_session_grows_old(visitor: Visitor, world: World) -> None:
    ann = await visitor("ann")
    await get_model("UserSession").all().update(created_at=clock.now() - timedelta(days=7, seconds=1))
    assert (await ann.get("/api/auth/me")).status_code == 401
    assert await get_model("UserSession").cron_prune() == 1


async def test_seeing_a_session_writes_once_a_minute(visitor: Visitor, world: World) -> None:
    ann = await visitor("ann")
    before = (await get_model("UserSession").get()).last_seen_at
    await ann.get("/")
    assert (await get_model("UserSession").get()).last_seen_at == before
    await get_model("UserSession").all().update(last_seen_at=before - timedelta(minutes=1))
    await ann.get("/")
    assert (await get_model("UserSession").get()).last_seen_at >= before


async def test_large_uploads_are_for_those_who_are_logged_in_now(visitor: Visitor, world: World) -> None:
    ann = await visitor("ann")
    path, body = f"/records/Ticket/{world.ticket.id}/note", "x" * 100_000
    assert (await ann.post(path, body=body)).status_code == 303
    await get_model("UserSession").all().delete()
    assert (await ann.post(path, body=body)).status_code == 413


async def test_the_account_page_makes_a_token_once_and_ends_sessions(visitor: Visitor, world: World) -> None:
    ann, elsewhere = await visitor("ann"), await visitor("ann")
    page = await ann.get("/account")
    assert page.status_code == 200
    assert 'href="/account"' in page.text
    assert 'value="admin"' not in page.text
    made = await ann.post("/account/tokens", name="Reports", scope=["read", "mail"], days="30")
    text = re.search(r"pr_[0-9a-f]{12}_[0-9a-f]{40}", made.text)
    assert text is not None
    assert text[0] not in (await ann.get("/account")).text
    token = await get_model("ApiToken").get()
    assert (token.name, token.scopes) == ("Reports", ["read", "mail"])
    assert "Only an administrator" in (await ann.post("/account/tokens", name="x", scope="admin")).text
    eve = await visitor("eve")
    assert (await eve.post(f"/account/tokens/{token.id}/revoke")).status_code == 404
    assert (await ann.post(f"/account/tokens/{token.id}/revoke")).status_code == 303
    assert "was revoked" in (await ann.get("/account")).text
    assert (await ann.post("/account/sessions/end")).status_code == 303
    assert (await elsewhere.get("/account")).status_code == 303


async def test_people_change_their_name_and_password(visitor: Visitor, world: World) -> None:
    ann = await visitor("ann")
    assert (await ann.post("/account/name", name="Ann Other")).status_code == 303
    assert "Ann Other" in (await ann.get("/account")).text
    assert "not your present password" in (await ann.post("/account/password", old="x", new="long enough now")).text
    changed = await ann.post("/account/password", old="secret", new="long enough now")
    assert changed.status_code == 303
    assert (await ann.get("/account")).status_code == 200
