"""Leaving a list, and a hostile visitor or scanner: SECURITY W3, W6, and RFC 8058."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import pytest

from core.delivery.suppression import suppress, suppressed
from core.mail.unsubscribe import unsubscribe_token, unsubscribe_url
from core.runtime import Runtime, get_model
from core.web.app import create_app

pytestmark = pytest.mark.anyio

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture
async def client(host: Runtime) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=create_app())
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client


@pytest.fixture
def url(host: Runtime) -> str:
    return unsubscribe_url("http://127.0.0.1", host.settings.secret_keys, "Ada@customer.test", "news")


async def blocked(of_list: str | None, address: str = "ada@customer.test") -> bool:
    return bool(await suppressed([(1, address, of_list)]))


async def test_rfc8058_one_click_leaves_without_cookie_login_or_redirect(client: httpx2.AsyncClient, url: str) -> None:
    answer = await client.post(url, data=ONE_CLICK)
    assert (answer.status_code, answer.headers.get("set-cookie")) == (200, None)
    assert (await blocked("news"), await blocked("offers"), await blocked(None)) == (True, False, False)
    multipart = await client.post(url, files={"List-Unsubscribe": (None, "One-Click")})
    assert multipart.status_code == 200
    assert await get_model("Suppression").all().count() == 1


async def test_w3_looking_at_a_link_changes_nothing(client: httpx2.AsyncClient, url: str) -> None:
    for method in ("GET", "HEAD", "OPTIONS"):
        answer = await client.request(method, url)
        assert answer.headers.get("set-cookie") is None
    page = await client.get(url)
    assert page.status_code == 200
    assert "Nothing has changed yet" in page.text
    assert '<form method="post"' in page.text
    assert "ada@customer.test" not in page.text
    assert not await blocked("news")


async def test_the_buttons_leave_one_list_or_every_list_and_come_back(client: httpx2.AsyncClient, url: str) -> None:
    assert "no more mail of the list “news”" in (await client.post(url, data={"action": "leave"})).text
    assert (await blocked("news"), await blocked("offers")) == (True, False)
    assert "of any list" in (await client.post(url, data={"action": "leave-all"})).text
    assert (await blocked("news"), await blocked("offers"), await blocked(None)) == (True, True, False)
    assert "subscribed again" in (await client.post(url, data={"action": "return"})).text
    assert (await blocked("news"), await blocked("offers")) == (False, False)


async def test_coming_back_ends_no_bounce_and_no_complaint(client: httpx2.AsyncClient, url: str) -> None:
    await suppress("ada@customer.test", reason="complaint")
    await client.post(url, data={"action": "return"})
    assert await blocked(None)


async def test_w6_a_token_is_for_its_own_address_and_list(host: Runtime, client: httpx2.AsyncClient, url: str) -> None:
    forged = unsubscribe_token(("another key",), "bob@customer.test", "news")
    cut, changed = url[:-3], url[:-10] + "A" * 10
    for path in (
        f"/unsubscribe/{forged}",
        cut,
        changed,
        "/unsubscribe/x",
        "/unsubscribe/%00",
        "/unsubscribe/" + "A" * 3000,
    ):
        for answer in (await client.get(path), await client.post(path, data=ONE_CLICK)):
            assert answer.status_code in (404, 422)
    assert await get_model("Suppression").all().count() == 0


async def test_w6_the_answers_say_nothing_of_who_is_on_a_list(client: httpx2.AsyncClient, url: str) -> None:
    before = await client.get(url)
    await client.post(url, data=ONE_CLICK)
    after = await client.get(url)
    assert before.text == after.text
    once, twice = [await client.post(url, data=ONE_CLICK) for _ in range(2)]
    assert (once.status_code, once.text) == (twice.status_code, twice.text)


async def test_a_list_with_html_in_its_name_is_shown_as_text(host: Runtime, client: httpx2.AsyncClient) -> None:
    url = unsubscribe_url("http://127.0.0.1", host.settings.secret_keys, "ada@customer.test", "<script>x</script>")
    assert "<script>" not in (await client.get(url)).text
