from __future__ import annotations

import pytest
from itsdangerous import URLSafeTimedSerializer

from core.runtime import Runtime, get_model
from core.web.session import COOKIE
from tests.web.conftest import Visitor, World

pytestmark = pytest.mark.anyio


async def test_a_person_logs_in_and_out(visitor: Visitor) -> None:
    ann = await visitor("ann")
    page = await ann.get("/")
    assert page.status_code == 200
    assert "Ann" in page.text
    assert (await ann.post("/logout")).headers["location"] == "/login"
    assert (await ann.get("/")).status_code == 303


async def test_a_stranger_is_led_to_the_login_and_back(visitor: Visitor) -> None:
    stranger = await visitor()
    answer = await stranger.get("/records/Ticket?q=x")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=%2Frecords%2FTicket%3Fq%3Dx")
    await stranger.get(answer.headers["location"])
    answer = await stranger.post("/login", login="ann", password="secret", next="/records/Ticket?q=x")
    assert answer.headers["location"] == "/records/Ticket?q=x"


@pytest.mark.parametrize("place", ["https://evil.example", "//evil.example", "/\\evil.example", "", "/a\nb"])
async def test_a_login_leads_nowhere_else(visitor: Visitor, place: str) -> None:
    stranger = await visitor()
    await stranger.get("/login")
    answer = await stranger.post("/login", login="ann", password="secret", next=place)
    assert answer.headers["location"] == "/"


async def test_a_wrong_password_and_an_unknown_login_read_alike(visitor: Visitor) -> None:
    stranger = await visitor()
    await stranger.get("/login")
    wrong = await stranger.post("/login", login="ann", password="guess")
    unknown = await stranger.post("/login", login="zoe", password="guess")
    assert wrong.status_code == unknown.status_code == 403
    assert wrong.text.replace("ann", "zoe") == unknown.text


async def test_the_sixth_try_within_a_minute_is_refused(visitor: Visitor) -> None:
    stranger = await visitor()
    await stranger.get("/login")
    answers = [(await stranger.post("/login", login="ann", password="guess")).status_code for _ in range(5)]
    assert answers == [403] * 5
    assert (await stranger.post("/login", login="ANN ", password="secret")).status_code == 429
    assert (await stranger.post("/login", login="eve", password="secret")).status_code == 303


async def test_the_cookie_is_for_http_and_this_site_alone(visitor: Visitor) -> None:
    stranger = await visitor()
    await stranger.get("/login")
    answer = await stranger.post("/login", login="ann", password="secret")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "secure" not in cookie.replace("samesite", "")


class TestBehindHttps:
    @pytest.fixture
    def settings(self, settings: dict[str, object]) -> dict[str, object]:
        return {**settings, "BASE_URL": "https://desk.example"}

    async def test_the_cookie_is_secure(self, visitor: Visitor) -> None:
        answer = await (await visitor()).get("/login")
        assert "; secure" in answer.headers["set-cookie"].lower()


async def test_login_gives_a_new_session(visitor: Visitor) -> None:
    stranger = await visitor()
    await stranger.get("/login")
    before, token = stranger.client.cookies[COOKIE], stranger.token
    await stranger.post("/login", login="ann", password="secret")
    assert stranger.client.cookies[COOKIE] != before
    assert (await stranger.post("/logout", csrf=token)).status_code == 403


async def test_a_new_password_and_a_switched_off_user_end_sessions(visitor: Visitor) -> None:
    ann, eve = await visitor("ann"), await visitor("eve")
    user = await get_model("User").get(login="ann")
    await user.set_password("another one")
    await user.save()
    await get_model("User").filter(login="eve").update(active=False)
    assert (await ann.get("/")).status_code == 303
    assert (await eve.get("/")).status_code == 303


async def test_a_cookie_of_another_make_is_nobody(host: Runtime, visitor: Visitor) -> None:
    user = await get_model("User").get(login="root")
    forged = URLSafeTimedSerializer("guessed", salt="postroom session").dumps([user.id, "", "n"])
    stranger = await visitor()
    for value in (forged, "", "x", "." * 300):
        answer = await stranger.get("/", headers={"cookie": f"{COOKIE}={value}"})
        assert answer.status_code == 303


async def test_a_form_without_token_or_from_elsewhere_is_refused(visitor: Visitor, world: World) -> None:
    ann = await visitor("ann")
    path = f"/records/Ticket/{world.ticket.id}/note"
    for fields, headers in (
        ({"body": "x"}, {}),
        ({"body": "x", "csrf": "wrong"}, {}),
        ({"body": "x", "csrf": ann.token}, {"origin": "https://evil.example"}),
        ({"body": "x", "csrf": ann.token}, {"origin": "null"}),
    ):
        answer = await ann.client.post(path, data=fields, headers=headers)
        assert answer.status_code == 403
    eve = await visitor("eve")
    assert (await ann.client.post(path, data={"body": "x", "csrf": eve.token})).status_code == 403
    assert await get_model("Message").filter(kind="note").count() == 0
    own = {"origin": str(ann.client.base_url).rstrip("/")}
    assert (await ann.client.post(path, data={"body": "x", "csrf": ann.token}, headers=own)).status_code == 303


async def test_other_addresses_do_not_buy_more_tries(visitor: Visitor, world: World) -> None:
    """A proxy on this machine is believed when it names the client, whoever made the name up."""
    thief = await visitor()
    await thief.get("/login")
    answers = [
        await thief.client.post(
            "/login",
            data={"csrf": thief.token, "login": " Ann ", "password": "guess"},
            headers={"X-Forwarded-For": f"192.0.2.{number}"},
        )
        for number in range(31)
    ]
    assert [answer.status_code for answer in answers] == [403] * 30 + [429]


@pytest.mark.parametrize("cookie", ["", "postroom_session=made-up", "of a stranger's login page"])
async def test_a_stranger_s_form_is_small(visitor: Visitor, world: World, cookie: str) -> None:
    stranger = await visitor()
    if cookie.startswith("of"):
        await stranger.get("/login")
    headers = {"Cookie": cookie} if cookie.startswith("postroom") else {}
    answer = await stranger.client.post("/login", data={"login": "a" * 100_000}, headers=headers)
    assert answer.status_code == 413


async def test_an_address_of_nothing_is_told_in_words(visitor: Visitor, world: World) -> None:
    stranger = await visitor()
    answer = await stranger.get("/nowhere")
    assert answer.status_code == 404
    assert "nothing at this address" in answer.text
    assert "nothing at this address" in (await stranger.get("/api/nowhere")).json()["detail"]
