"""Row W12 of the threat list: whoever logs in, or tries to."""

from __future__ import annotations

import json
import logging
import statistics
import time
from typing import Any

import pytest
from argon2 import PasswordHasher

from core.runtime import Runtime, get_model
from core.web.session import COOKIE
from tests.web.conftest import *  # noqa: F403 - the desk and its people
from tests.web.conftest import Visitor, World

pytestmark = pytest.mark.anyio

PASSWORD = "correct-horse-battery"


async def sign_in(visitor: Visitor, login: str, password: str, **headers: str) -> Any:
    client = (await visitor()).client
    return await client.post("/api/auth/login", json={"login": login, "password": password}, headers=headers)


async def test_guesses_are_counted_for_all_processes_and_ways_together(visitor: Visitor, world: World) -> None:
    """The page and the API share the count, which is in the database; case and spaces buy no tries."""
    page = await visitor()
    await page.get("/login")
    answers = [(await page.post("/login", login="ann", password="guess")).status_code for _ in range(3)]
    answers += [(await sign_in(visitor, login, "guess")).status_code for login in ("ANN", " ann ", "ann")]
    assert answers == [403] * 3 + [401] * 2 + [429]
    assert (await sign_in(visitor, "ann", "secret")).status_code == 429
    assert (await sign_in(visitor, "eve", "secret")).status_code == 200


async def test_no_addresses_and_no_keys_buy_more_tries(visitor: Visitor, world: World) -> None:
    answers = [
        await sign_in(
            visitor, "ann", "guess", **{"X-Forwarded-For": f"192.0.2.{number}", "Idempotency-Key": f"key-{number}"}
        )
        for number in range(31)
    ]
    assert [answer.status_code for answer in answers] == [401] * 30 + [429]
    assert 0 < int(answers[-1].headers["retry-after"]) <= 60


async def test_the_count_holds_no_word_that_was_typed(visitor: Visitor, world: World) -> None:
    await sign_in(visitor, PASSWORD, "oops, that was the password")
    rows = await get_model("LoginTry").all().values()
    assert len(rows) == 2
    assert PASSWORD not in str(rows)
    entries = str(await get_model("AuditEntry").all().values())
    assert "login_failed" in entries
    assert PASSWORD not in entries


async def test_an_unknown_login_takes_as_long_as_a_wrong_password(visitor: Visitor, world: World) -> None:
    """Both make one hash of the same cost; so does an account that is switched off or has no password."""
    await get_model("User").all().update(password_hash=PasswordHasher().hash(PASSWORD))
    await get_model("User").filter(login="eve").update(active=False)
    await get_model("User").filter(login="guest").update(password_hash="")
    took: dict[str, list[float]] = {}
    bodies = set()
    for _ in range(4):
        for login in ("ann", "nobody", "eve", "guest"):
            began = time.perf_counter()
            answer = await sign_in(visitor, login, "guess")
            took.setdefault(login, []).append(time.perf_counter() - began)
            body = answer.json()
            bodies.add((answer.status_code, body["code"], body["detail"], answer.headers["www-authenticate"]))
    assert len(bodies) == 1
    fastest = {login: min(times) for login, times in took.items()}
    assert max(fastest.values()) < 3 * statistics.median(fastest.values())
    assert min(fastest.values()) > statistics.median(fastest.values()) / 3


async def test_a_session_known_before_the_login_is_worth_nothing(visitor: Visitor, world: World) -> None:
    """Fixation: an attacker plants the cookie of his own login page, or of his own session."""
    thief, victim = await visitor(), await visitor()
    await thief.get("/login")
    victim.client.cookies.set(COOKIE, thief.client.cookies[COOKIE], domain="127.0.0.1", path="/")
    victim.token = thief.token
    assert (await victim.post("/login", login="ann", password="secret")).status_code == 303
    assert (await thief.get("/api/auth/me")).status_code == 401
    mallory = await visitor("eve")
    other = await visitor()
    other.client.cookies.set(COOKIE, mallory.client.cookies[COOKIE], domain="127.0.0.1", path="/")
    other.token = mallory.token
    assert (await other.post("/login", login="ann", password="secret")).status_code == 303
    assert (await other.get("/api/auth/me")).json()["login"] == "ann"
    assert (await mallory.get("/api/auth/me")).status_code == 401


async def test_a_stolen_cookie_dies_at_logout_and_with_the_password(visitor: Visitor, world: World) -> None:
    for end in ("/logout", "/account/password"):
        ann, thief = await visitor("ann"), await visitor()
        thief.client.cookies.set(COOKIE, ann.client.cookies[COOKIE], domain="127.0.0.1", path="/")
        assert (await thief.get("/api/auth/me")).status_code == 200
        assert (await ann.post(end, old="secret", new=PASSWORD)).status_code == 303
        assert (await thief.get("/api/auth/me")).status_code == 401


async def test_a_changed_cookie_is_nobody_s(visitor: Visitor, world: World) -> None:
    ann = await visitor("ann")
    cookie = ann.client.cookies[COOKIE]
    for place in range(0, len(cookie), 7):
        changed = cookie[:place] + ("A" if cookie[place] != "A" else "B") + cookie[place + 1 :]
        answer = await (await visitor()).get("/api/auth/me", headers={"Cookie": f"{COOKIE}={changed}"})
        assert answer.status_code == 401, place


async def test_no_password_and_no_token_is_logged(
    visitor: Visitor, world: World, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    user = await get_model("User").get(login="ann")
    await user.change_password(PASSWORD)
    _, text = await get_model("ApiToken").issue(user, "reports", ["read"])
    await sign_in(visitor, "ann", PASSWORD)
    client = (await visitor()).client
    await client.get("/api/auth/me", headers={"Authorization": f"Bearer {text}"})
    await client.get(f"/login?login=ann&password={PASSWORD}")
    ours = [one.getMessage() for one in caplog.records if one.name.startswith("core")]
    printed = "".join([*capfd.readouterr(), *ours])
    assert PASSWORD not in printed
    assert text not in printed
    assert text.rpartition("_")[2] not in str(await get_model("AuditEntry").all().values())


async def test_a_password_in_the_address_logs_nobody_in(visitor: Visitor, world: World) -> None:
    client = (await visitor()).client
    for method in ("GET", "POST"):
        answer = await client.request(method, "/login?login=ann&password=secret")
        assert answer.status_code != 303
        assert "secret" not in answer.text


class TestBehindHttps:
    @pytest.fixture
    def settings(self, settings: dict[str, object]) -> dict[str, object]:
        return {**settings, "BASE_URL": "https://desk.example"}

    async def test_the_cookie_is_for_this_host_https_and_no_script(self, visitor: Visitor) -> None:
        browser = await visitor()
        page = await browser.get("/login")
        cookie = page.headers["set-cookie"].lower()
        assert cookie.startswith(f"__host-{COOKIE}=")
        assert {"secure", "httponly", "path=/", "samesite=lax"} <= {part.strip() for part in cookie.split(";")}
        assert "domain" not in cookie


@pytest.mark.parametrize("login", ["a\0b", "x" * 321, "\ud800", ["ann"], None, {"ne": ""}, 7])
async def test_hostile_logins_are_refused(visitor: Visitor, world: World, login: object) -> None:
    client = (await visitor()).client
    for body in ({"login": login, "password": "x"}, {"login": "ann", "password": login}):
        answer = await client.post(
            "/api/auth/login", content=json.dumps(body), headers={"Content-Type": "application/json"}
        )
        assert answer.status_code in (400, 401, 422)
    page = await visitor()
    await page.get("/login")
    typed = str(login).encode("utf-8", "replace")[:400]
    assert (await page.post("/login", login=typed, password="x")).status_code in (403, 422)


async def test_scopes_never_give_more_than_the_user_has(host: Runtime, visitor: Visitor, world: World) -> None:
    """A token of a user that is no longer an administrator is no administrator's."""
    root = await get_model("User").get(login="root")
    _, text = await get_model("ApiToken").issue(root, "all", ["read", "write", "mail", "admin"])
    client = (await visitor()).client
    headers = {"Authorization": f"Bearer {text}"}
    assert (await client.get("/api/records/CronJob", headers=headers)).status_code == 200
    await get_model("User").filter(login="root").update(is_admin=False)
    assert (await client.get("/api/records/CronJob", headers=headers)).status_code == 403
