"""Tracked links and pixels under attack: W1, W2, W3, W5 and H7 of the security cases."""

from __future__ import annotations

import asyncio
import base64
import os
import statistics
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from PIL import Image

from core.clock import now
from core.config import load_configuration
from core.host.host import open_host
from core.host.install import update_schema
from core.mail.tracking import CLICK_PATH, OPEN_PATH, PIXEL_PATH, Tracker, tracker
from core.runtime import Runtime, get_model
from core.runtime import settings as running_settings
from tests.databases import sqlite_alone as database_url
from tests.servers.postgres import Postgres
from tests.web.browser import Browser
from tests.web.served import served

__all__ = ["database_url"]
pytestmark = pytest.mark.anyio

BASE = "http://mail.example"
TARGET = "https://shop.example/offer?a=1&b=ü"
FIREFOX = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
IDENTIFIER = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def settings() -> dict[str, object]:
    return {"BASE_URL": BASE}


@asynccontextmanager
async def running() -> AsyncIterator[httpx2.AsyncClient]:
    """A client of a running server; when the block is left, the server has stopped and written what it saw."""
    async with served() as address, httpx2.AsyncClient(base_url=address, headers=FIREFOX, timeout=20) as client:
        yield client


@pytest.fixture
async def client(host: Runtime) -> AsyncIterator[httpx2.AsyncClient]:
    async with running() as one:
        yield one


def ours() -> Tracker:
    return tracker(BASE, running_settings().secret_keys)


async def sent_delivery(**values: Any) -> Any:
    message = await get_model("Message").create(
        direction="Outbound",
        send_state="Sent",
        tracking_identifier=IDENTIFIER,
        body='<a href="https://shop.example/old?x=1&amp;y=2">old</a>',
        **values,
    )
    return await get_model("Delivery").create(
        message=message, recipient="kim@x.example", state="sent", due_at=message.created_at
    )


def click(delivery_id: int, url: str = TARGET) -> str:
    """Return the path of a link as the mail has it."""
    html = str(ours().woven(f'<a href="{url}">', delivery_id))
    return html.split('href="')[1].split('"')[0].removeprefix(BASE)


async def seen(count: int = 1) -> list[Any]:
    """Wait for that many events."""
    for _ in range(100):
        events: list[Any] = await get_model("TrackingEvent").all().order_by("id")
        if len(events) >= count:
            break
        await asyncio.sleep(0.05)
    return events


def told(answer: httpx2.Response) -> tuple[Any, ...]:
    """Return all that an answer says, but its time of day."""
    headers = {name: value for name, value in answer.headers.items() if name != "date"}
    return answer.status_code, headers, answer.content


# W1: a link leads where it was sent to lead, or nowhere.


async def test_w1_a_link_of_ours_redirects_to_its_target(client: httpx2.AsyncClient) -> None:
    delivery = await sent_delivery()
    answer = await client.get(click(delivery.pk))
    assert answer.status_code == 302
    assert answer.headers["location"] == "https://shop.example/offer?a=1&b=%C3%BC"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "set-cookie" not in answer.headers
    (event,) = await seen()
    assert (event.kind, event.url, event.delivery_id) == ("click", TARGET, delivery.pk)


OTHERS = [
    "https://evil.example/",
    "//evil.example",
    "/\\evil.example",
    "https:evil.example",
    "https:/evil.example",
    "https://shop.example@evil.example/",
    "https://shop.example\\@evil.example/",
    "javascript:alert(1)",
    "java\tscript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    TARGET + "\r\nSet-Cookie: a=1",
    TARGET + "\0",
    TARGET + " ",
    TARGET.upper(),
    "",
]


@pytest.mark.parametrize("url", OTHERS)
async def test_w1_another_target_is_not_found_and_never_a_redirect(client: httpx2.AsyncClient, url: str) -> None:
    delivery = await sent_delivery()
    path, _, _ = click(delivery.pk).partition("?")
    for token in (path.removeprefix(CLICK_PATH), ours().token(delivery.pk), IDENTIFIER, "x", ""):
        answer = await client.get(f"{CLICK_PATH}{token}?url={quote(url, safe='')}")
        assert answer.status_code == 404
        assert "location" not in answer.headers
        assert b"evil" not in answer.content
    assert await get_model("TrackingEvent").all().count() == 0


async def test_w1_the_first_target_of_two_counts(client: httpx2.AsyncClient) -> None:
    delivery = await sent_delivery()
    path, _, query = click(delivery.pk).partition("?")
    assert (await client.get(f"{path}?url=https://evil.example&{query}")).status_code == 404
    answer = await client.get(f"{path}?utm_source=x&{query}&url=https://evil.example")
    assert answer.headers["location"].startswith("https://shop.example/offer")


async def test_w1_a_link_by_identifier_leads_only_where_the_message_does(client: httpx2.AsyncClient) -> None:
    await sent_delivery()
    answer = await client.get(f"{CLICK_PATH}{IDENTIFIER}?url={quote('https://shop.example/old?x=1&y=2', safe='')}")
    assert answer.headers["location"] == "https://shop.example/old?x=1&y=2"
    assert (await client.get(f"{CLICK_PATH}{IDENTIFIER}?url=https://shop.example/")).status_code == 404
    (event,) = await seen()
    assert (event.kind, event.delivery_id) == ("click", None)


# W2: a token's answer does not tell what it is.


async def test_w2_every_pixel_answers_alike(client: httpx2.AsyncClient) -> None:
    delivery = await sent_delivery()
    gone = await sent_delivery()
    await get_model("Message").filter(id=gone.message_id).delete()
    tokens = [ours().token(delivery.pk), ours().token(gone.pk), ours().token(2**60), IDENTIFIER, "x" * 32, "%00", ""]
    for path, kind, start in ((OPEN_PATH, "image/gif", b"GIF89a"), (PIXEL_PATH, "image/png", b"\x89PNG")):
        answers = [await client.get(f"{path}{token}{'.png' if path == PIXEL_PATH else ''}") for token in tokens]
        assert [told(one) for one in answers] == [told(answers[0])] * len(answers)
        assert (answers[0].status_code, answers[0].headers["content-type"]) == (200, kind)
        assert answers[0].headers["cache-control"] == "no-store"
        assert answers[0].content.startswith(start)
        assert {(await client.head(f"{path}{token}")).status_code for token in tokens} == {200}
    assert len((await client.get(OPEN_PATH)).content) == 43


async def test_both_pixels_are_one_transparent_point(client: httpx2.AsyncClient) -> None:
    for path in (OPEN_PATH, PIXEL_PATH):
        with Image.open(BytesIO((await client.get(f"{path}x")).content)) as picture:
            assert (picture.size, picture.convert("RGBA").getpixel((0, 0))[3]) == ((1, 1), 0)  # type: ignore[index]


async def test_w2_every_link_that_is_none_answers_alike(client: httpx2.AsyncClient) -> None:
    delivery = await sent_delivery()
    path, _, query = click(delivery.pk).partition("?")
    paths = [f"{path}?url=https://evil.example", f"{CLICK_PATH}nobody?{query}", f"{CLICK_PATH}?{query}", path]
    answers = [await client.get(one) for one in (*paths, f"{CLICK_PATH}{'A' * 32}?{query}", f"{path}?url={'a' * 9000}")]
    assert [told(one) for one in answers] == [told(answers[0])] * len(answers)
    assert answers[0].status_code == 404


async def test_w2_the_time_tells_nothing(host: Runtime) -> None:
    """Pixels are compared where a network's noise does not hide a difference."""
    delivery = await sent_delivery()
    known = ours().token(delivery.pk)
    forged = known[:-4] + ("AAAA" if not known.endswith("AAAA") else "BBBB")

    def median_ns(token: str) -> float:
        times = []
        for _ in range(2000):
            began = time.perf_counter_ns()
            ours().opened(token)
            times.append(time.perf_counter_ns() - began)
        return statistics.median(times)

    ratios = [median_ns(known) / median_ns(forged) for _ in range(5)]
    assert 0.7 < statistics.median(ratios) < 1.4


async def test_w2_without_a_database_answers_are_the_same_and_nothing_is_lost(tmp_path: Path) -> None:
    with Postgres() as server:
        configuration = load_configuration(
            environment={},
            overrides={
                "DATABASE_URL": server.create_database(),
                "VAR_DIR": str(tmp_path),
                "ADDONS": ["core"],
                "BASE_URL": BASE,
            },
        )
        async with open_host(configuration) as host:
            await update_schema(host)
            delivery = await sent_delivery()
            async with running() as client:
                paths = [OPEN_PATH + ours().token(delivery.pk), click(delivery.pk), f"{CLICK_PATH}nobody?url={TARGET}"]
                before = [told(await client.get(path)) for path in paths]
                await seen(2)
                server.stop_immediately()
                assert [told(await client.get(path)) for path in paths] == before
                assert (await client.get(f"{OPEN_PATH}{IDENTIFIER}")).status_code == 200
                await asyncio.sleep(0.05)
                server.start()
                await _until(lambda: host.database.fetch("SELECT 1"))
            await delivery.refresh_from_db()
            assert (delivery.open_count, delivery.click_count) == (2, 2)
            message = await get_model("Message").get(id=delivery.message_id)
            assert (message.open_count, message.click_count) == (3, 2)


async def _until(works: Callable[[], Any]) -> None:
    for _ in range(100):
        try:
            await works()
        except Exception:
            await asyncio.sleep(0.05)
        else:
            return
    raise AssertionError("the database did not come back")


async def test_w2_only_reading_is_answered(client: httpx2.AsyncClient) -> None:
    delivery = await sent_delivery()
    for path in (OPEN_PATH + "x", PIXEL_PATH + "x.png", click(delivery.pk)):
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            assert (await client.request(method, path)).status_code == 405


# W3: scanners are no readers.


async def test_w3_scanners_do_not_count(client: httpx2.AsyncClient) -> None:
    delivery = await sent_delivery()
    pixel = OPEN_PATH + ours().token(delivery.pk)
    await client.head(pixel)
    await client.get(pixel, headers={"Sec-Purpose": "prefetch"})
    await client.get(pixel, headers={"User-Agent": "Mozilla/5.0"})
    await client.get(pixel, headers={"Referer": f"{BASE}/messages/1"})
    await asyncio.gather(*(client.get(click(delivery.pk, f"https://shop.example/{n}")) for n in range(4)))
    events = await seen(8)
    assert {one.verdict for one in events} == {"machine"}
    assert {one.reason for one in events} == {"head", "prefetch", "apple_privacy", "own", "burst"}
    await delivery.refresh_from_db()
    assert (delivery.open_count, delivery.click_count, delivery.opened_at) == (0, 0, None)


async def test_w3_all_of_a_mail_fetched_right_after_the_send_does_not_count(client: httpx2.AsyncClient) -> None:
    delivery = await sent_delivery()
    delivery.begun_at = now()
    await delivery.save()
    paths = (OPEN_PATH + ours().token(delivery.pk), click(delivery.pk), click(delivery.pk, "https://shop.example/2"))
    for number, path in enumerate(paths, 1):
        await client.get(path)
        events = await seen(number)
    assert {(one.verdict, one.reason) for one in events} == {("machine", "burst")}
    message = await get_model("Message").get(id=delivery.message_id)
    await delivery.refresh_from_db()
    for row in (delivery, message):
        assert (row.open_count, row.opened_at, row.click_count, row.clicked_at) == (0, None, 0, None)


# W5: a token cannot be predicted.


async def test_w5_a_token_needs_the_key(host: Runtime) -> None:
    secret = running_settings().secret_keys[0]
    token = ours().token(5)
    assert ours().opened(token) == 5
    said = base64.urlsafe_b64decode(token)
    assert len(said) - 8 == 16, "128 bits beside the delivery's id"
    for bit in range(len(said) * 8):
        changed = bytearray(said)
        changed[bit // 8] ^= 1 << bit % 8
        assert ours().opened(base64.urlsafe_b64encode(changed).decode()) is None
    guesses = [Tracker(BASE, (guess,)).token(5) for guess in ("", "postroom", secret[:-1], secret + ",")]
    assert token not in guesses
    assert all(ours().opened(guess) is None for guess in guesses)
    assert ours().opened(base64.urlsafe_b64encode((6).to_bytes(8, "big") + os.urandom(16)).decode()) is None


# H7: what a stranger's request says is shown as text.


async def test_h7_what_a_request_says_is_shown_as_text(host: Runtime, client: httpx2.AsyncClient) -> None:
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
    user = get_model("User")(login="root", name="Root", is_admin=True)
    await user.set_password("secret")
    await user.save()
    delivery = await sent_delivery(
        subject="Offer", message_id="<1@mail.example>", email_from="a@mail.example", date_at=now()
    )
    headers = {"User-Agent": f"Mozilla {evil}", "Referer": evil, "X-Forwarded-For": evil}
    await client.get(OPEN_PATH + ours().token(delivery.pk), headers=headers)
    await client.get(click(delivery.pk, f"https://shop.example/?{quote(evil, safe='<>()')}"), headers=headers)
    events = await seen(2)
    assert {one.ip for one in events} <= {"", "127.0.0.0"}
    async with Browser(str(client.base_url)) as browser:
        await browser.log_in("root")
        page = await browser.get(f"/messages/{delivery.message_id}")
    assert page.status_code == 200
    assert "&lt;script&gt;alert(1)" in page.text
    assert "<script>alert" not in page.text
    assert "<img src=x" not in page.text
    assert "estimate" in page.text
