"""Row W12: nobody gets in, or learns who has an account, by way of the forgotten password; on a real server."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from core import clock
from core.access import access_of
from core.runtime import Runtime, get_model
from core.web.entries import visible_entries
from tests.web.served import served

pytestmark = pytest.mark.anyio

OLD, NEW = "the old password of ann", "correct horse battery staple"
LOGIN = "ann@desk.example"
_LINK = re.compile(r"http://desk\.example/login/reset/([A-Za-z0-9_-]+)")


@pytest.fixture
def settings() -> dict[str, object]:
    return {"MAIL_MODE": "hold", "BASE_URL": "http://desk.example", "SYSTEM_MAIL_FROM": "host@desk.example"}


@pytest.fixture
def seeds() -> str:
    return "data"


@pytest.fixture
async def ann(host: Runtime) -> Any:
    user = get_model("User")(login=LOGIN, name="Ann")
    await user.set_password(OLD)
    await user.save()
    await user.groups.add(await get_model("Group").get(identifier="user"))
    return user


@pytest.fixture
async def client(ann: Any) -> AsyncIterator[httpx2.AsyncClient]:
    async with served() as address, httpx2.AsyncClient(base_url=address, timeout=20, verify=False) as client:
        yield client


async def ask(client: httpx2.AsyncClient, login: str = LOGIN, **options: Any) -> httpx2.Response:
    return await client.post("/api/auth/forgot", json={"login": login}, **options)


async def mailed(count: int = 1) -> list[Any]:
    """Wait for the mails, which are written after the answer."""
    for _ in range(400):
        messages = await get_model("Message").filter(kind="system").order_by("id")
        if len(messages) >= count:
            return list(messages)
        await asyncio.sleep(0.01)
    raise AssertionError(f"{count} mails did not come")


async def token_of(client: httpx2.AsyncClient) -> str:
    before = await get_model("Message").filter(kind="system").count()
    assert (await ask(client)).status_code == 202
    found = _LINK.search((await mailed(before + 1))[-1].body)
    assert found
    return found[1]


async def redeem(client: httpx2.AsyncClient, token: str, password: str = NEW) -> httpx2.Response:
    return await client.post("/api/auth/reset", json={"token": token, "password": password})


async def test_the_link_sets_a_password_once(client: httpx2.AsyncClient) -> None:
    token = await token_of(client)
    assert len(token) == 43
    stored = await get_model("PasswordReset").get()
    assert token not in repr(vars(stored))
    assert (await redeem(client, token)).status_code == 204
    assert await get_model("User").authenticate(LOGIN, NEW) is not None
    assert await get_model("User").authenticate(LOGIN, OLD) is None
    again = await redeem(client, token, "another password still")
    assert (again.status_code, again.json()["code"]) == (422, "reset_over")
    assert await get_model("User").authenticate(LOGIN, NEW) is not None


async def test_the_answer_is_the_same_for_every_login(client: httpx2.AsyncClient) -> None:
    answers = [await ask(client, login) for login in (LOGIN, "nobody@desk.example", "x\ty", "ANN@DESK.EXAMPLE ")]
    assert {(one.status_code, one.text) for one in answers} == {(202, answers[0].text)}
    assert len(await mailed(2)) == 2
    own = {"date", "x-request-id"}
    headers = [{name: value for name, value in one.headers.items() if name not in own} for one in answers]
    assert all(one == headers[0] for one in headers)


async def test_the_host_header_is_never_in_the_link(client: httpx2.AsyncClient) -> None:
    evil = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
    assert (await ask(client, headers=evil)).status_code == 202
    (message,) = await mailed()
    assert "evil.example" not in message.body
    assert _LINK.search(message.body)


async def test_the_mail_is_the_hosts_own_and_goes_to_the_login_alone(client: httpx2.AsyncClient, ann: Any) -> None:
    ann.signature = "<p>Ann, Sales</p>"
    ann.contact = await get_model("Contact").create(name="Ann", email="attacker@evil.example")
    await ann.save()
    await token_of(client)
    (message,) = await mailed()
    assert (message.email_to, message.email_from) == ([LOGIN], '"Postroom" <host@desk.example>')
    assert (message.author_id, message.track, message.expires_at is not None) == (None, False, True)
    raw = await message.eml()
    assert b"Auto-Submitted: auto-generated\r\n" in raw
    assert b"Sales" not in raw


async def test_nobody_but_administrators_reads_the_mail(client: httpx2.AsyncClient, ann: Any) -> None:
    await token_of(client)
    access = await access_of(ann)
    assert await access.records("Message").count() == 0
    with pytest.raises(Exception, match="There is no Message"):
        await access.find("Message", (await mailed())[0].pk)


async def test_no_path_of_messages_leads_others_to_the_mail(client: httpx2.AsyncClient, ann: Any) -> None:
    await token_of(client)
    _, text = await get_model("ApiToken").issue(ann, "program", ["read"])
    client.headers["Authorization"] = f"Bearer {text}"
    path = f"/api/queue/messages/{(await mailed())[0].pk}"
    for one in (path, f"{path}/message.eml"):
        assert (await client.get(one)).status_code == 404, one
    access = await access_of(ann)
    assert await visible_entries(access, await mailed()) == []


async def test_sessions_tokens_and_other_links_end(client: httpx2.AsyncClient, ann: Any) -> None:
    _, text = await get_model("ApiToken").issue(ann, "program", ["read"])
    await get_model("UserSession").open(ann)
    bearer = {"Authorization": f"Bearer {text}"}
    assert (await client.get("/api/auth/me", headers=bearer)).status_code == 200
    first, second = await token_of(client), await token_of(client)
    assert (await redeem(client, second)).status_code == 204
    assert (await client.get("/api/auth/me", headers=bearer)).status_code == 401
    assert await get_model("UserSession").filter(user_id=ann.pk).count() == 0
    assert (await redeem(client, first)).status_code == 422


async def test_a_link_dies_with_any_change_of_the_password_with_time_and_with_its_user(
    client: httpx2.AsyncClient, ann: Any
) -> None:
    token = await token_of(client)
    await ann.change_password("some other password")
    assert (await redeem(client, token)).status_code == 422
    token = await token_of(client)
    await get_model("PasswordReset").all().update(expires_at=clock.now() - timedelta(seconds=1))
    assert (await redeem(client, token)).status_code == 422
    token = await token_of(client)
    await get_model("User").filter(id=ann.pk).update(active=False)
    assert (await redeem(client, token)).status_code == 422


async def test_a_bad_password_leaves_the_link_good(client: httpx2.AsyncClient) -> None:
    token = await token_of(client)
    short = await redeem(client, token, "short")
    assert (short.status_code, "at least 12 characters" in short.json()["detail"]) == (422, True)
    assert (await redeem(client, token)).status_code == 204


async def test_of_many_at_once_one_sets_the_password(client: httpx2.AsyncClient) -> None:
    token = await token_of(client)
    answers = await asyncio.gather(*(redeem(client, token, f"password number {one}") for one in range(5)))
    assert sorted(one.status_code for one in answers) == [204, 422, 422, 422, 422]


@pytest.mark.parametrize("token", ["", "x", "a" * 43, "é" * 43, "\0" * 43, "../" * 10])
async def test_what_is_no_token_is_told_alike(client: httpx2.AsyncClient, token: str) -> None:
    answer = await redeem(client, token)
    assert answer.status_code in (400, 422)
    page = await client.get("/login/reset/" + "a" * 43)
    assert (page.status_code, "Ask for another link" in page.text) == (422, True)


async def test_asking_is_limited_for_each_login(client: httpx2.AsyncClient) -> None:
    for login in (LOGIN, "nobody@desk.example"):
        answers = [await ask(client, login) for _ in range(4)]
        assert [one.status_code for one in answers] == [202, 202, 202, 429]
        assert int(answers[-1].headers["retry-after"]) > 60


async def test_a_person_goes_by_the_pages(client: httpx2.AsyncClient) -> None:
    page = await client.get("/login/forgot")
    csrf = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert csrf
    told = await client.post("/login/forgot", data={"csrf": csrf[1], "login": LOGIN})
    assert (told.status_code, "on its way" in told.text) == (202, True)
    assert (await client.post("/login/forgot", data={"login": LOGIN})).status_code == 403
    found = _LINK.search((await mailed())[0].body)
    assert found
    path = f"/login/reset/{found[1]}"
    page = await client.get(path)
    assert (page.status_code, page.headers["referrer-policy"], page.headers["cache-control"]) == (
        200,
        "same-origin",
        "no-store",
    )
    assert found[1] not in page.text
    unequal = await client.post(path, data={"password": NEW, "again": "something else"})
    assert (unequal.status_code, "not the same" in unequal.text) == (422, True)
    done = await client.post(path, data={"password": NEW, "again": NEW})
    assert (done.status_code, "Your password is changed" in done.text) == (200, True)
    assert await get_model("User").authenticate(LOGIN, NEW) is not None


async def test_what_was_done_is_in_the_audit_log_and_no_token_in_any_log(
    client: httpx2.AsyncClient, capfd: pytest.CaptureFixture[str]
) -> None:
    token = await token_of(client)
    await client.get(f"/login/reset/{token}")
    await redeem(client, token)
    actions = await get_model("AuditEntry").all().order_by("id").values_list("action", flat=True)
    assert [one for one in actions if one.startswith("password")][-3:] == [
        "password_reset_asked",
        "password_changed",
        "password_reset",
    ]
    told = capfd.readouterr()
    assert token not in told.out + told.err
    assert token not in repr(await get_model("AuditEntry").all().values())
