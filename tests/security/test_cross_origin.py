"""Row W7 of the threat list: what a page of another site has our user's browser do."""

from __future__ import annotations

import pytest

from core.runtime import get_model
from tests.web.browser import Browser
from tests.web.conftest import *  # noqa: F403 - the desk and its people
from tests.web.conftest import Visitor, World
from tests.web.program import program_of

pytestmark = pytest.mark.anyio

EVIL = "https://evil.example"
FOREIGN = (
    {"Origin": EVIL},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1.evil.example"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"},
    {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
)
"""What browsers say of requests that other sites' pages make: with scripts, in sandboxes, as frames."""


def own(browser: Browser) -> str:
    return str(browser.client.base_url).rstrip("/")


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
async def test_a_foreign_page_reads_no_stream_and_no_record(
    visitor: Visitor, world: World, headers: dict[str, str]
) -> None:
    ann = await visitor("ann")
    for path in ("/api/live?topics=queue", "/api/records/Ticket", "/api/auth/me", "/records/Ticket"):
        answer = await ann.client.get(path, headers=headers)
        assert answer.status_code == 403, path
        assert "Broken chair" not in answer.text


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
async def test_a_foreign_page_changes_nothing_even_with_the_form_token(
    visitor: Visitor, world: World, headers: dict[str, str]
) -> None:
    ann = await visitor("ann")
    headers = {**headers, "X-CSRF-Token": ann.token}
    path = f"/records/Ticket/{world.ticket.id}/note"
    answers = [
        await ann.client.post(path, data={"body": "x"}, headers=headers),
        await ann.client.post("/api/suppression", json={"address": "a@example.org"}, headers=headers),
        await ann.client.request("DELETE", f"/api/records/Ticket/{world.ticket.id}", headers=headers),
        await ann.client.post("/logout", headers=headers),
        await ann.client.post("/login", data={"login": "eve", "password": "secret"}, headers=headers),
    ]
    assert [answer.status_code for answer in answers] == [403] * 5
    assert await get_model("Message").filter(kind="note").count() == 0
    assert await get_model("Suppression").all().count() == 0
    assert await get_model("Ticket").exists(id=world.ticket.id)
    assert (await ann.get("/api/auth/me")).json()["login"] == "ann"


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "text/plain; application/json",
        "text/plain;charset=application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=application/json",
        'multipart/form-data; boundary="x"; application/json',
        "application/json-patch+json",
        "application/jsonp",
        "json",
        "*/*",
        "",
        None,
    ],
)
async def test_json_in_another_guise_needs_the_form_token(
    visitor: Visitor, world: World, content_type: str | None
) -> None:
    """A form or a blob without a type can carry JSON from any site, unasked; `application/json` cannot."""
    ann = await visitor("ann")
    body = b'{"address": "a@example.org"}'
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = await ann.client.post("/api/suppression", content=body, headers=headers)
    assert answer.status_code in (403, 415)
    assert await get_model("Suppression").all().count() == 0


async def test_two_content_types_are_judged_as_they_are_read(visitor: Visitor, world: World) -> None:
    ann = await visitor("ann")
    for first, second in (("text/plain", "application/json"), ("application/json", "text/plain")):
        headers = [("Content-Type", first), ("Content-Type", second)]
        answer = await ann.client.post("/api/suppression", content=b'{"address": "a@example.org"}', headers=headers)
        assert answer.status_code in ((403, 415) if first == "text/plain" else (201,))


async def test_json_from_our_own_page_passes(visitor: Visitor, world: World) -> None:
    ann = await visitor("ann")
    ours = {"Origin": own(ann), "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
    answer = await ann.client.post("/api/suppression", json={"address": "a@example.org"}, headers=ours)
    assert answer.status_code == 201


async def test_an_upload_needs_the_form_token_of_this_session(visitor: Visitor, world: World) -> None:
    root, eve = await visitor("root"), await visitor("eve")
    file = {"file": ("a.txt", b"hello", "text/plain")}
    refused = [
        await root.client.post("/api/files", files=file, headers=headers)
        for headers in ({}, {"X-CSRF-Token": "wrong"}, {"X-CSRF-Token": eve.token})
    ]
    assert [answer.status_code for answer in refused] == [403] * 3
    assert (await root.client.post("/api/files", files=file, headers={"X-CSRF-Token": root.token})).status_code == 201


async def test_a_link_from_elsewhere_leads_here(visitor: Visitor, world: World) -> None:
    """From a mail or a search page; but never to something that changes."""
    ann = await visitor("ann")
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert (await ann.client.get("/records/Ticket", headers=link)).status_code == 200
    assert (await ann.client.post("/logout", data={"csrf": ann.token}, headers=link)).status_code == 403


async def test_no_page_of_ours_is_framed_and_no_other_site_is_let_read(visitor: Visitor, world: World) -> None:
    ann, stranger = await visitor("ann"), await visitor()
    for browser, path in ((ann, "/"), (ann, "/account"), (ann, "/api/auth/me"), (stranger, "/login")):
        headers = (await browser.get(path)).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in headers
    preflight = {"Origin": EVIL, "Access-Control-Request-Method": "POST"}
    answer = await ann.client.options("/api/suppression", headers=preflight)
    assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_a_program_s_token_needs_no_origin(visitor: Visitor, world: World, address: str) -> None:
    """No foreign page can send it unasked; but a cookie beside it lends it nothing."""
    async with program_of(address, "ann") as program:
        answer = await program.post("/api/suppression", json={"address": "a@example.org"}, headers={"Origin": EVIL})
        assert answer.status_code == 201
    ann = await visitor("ann")
    refused = await ann.client.get("/api/auth/me", headers={"Authorization": "Bearer pr_0123456789ab_" + "0" * 40})
    assert refused.status_code == 401
    basic = {"Authorization": "Basic eDp5", "Origin": EVIL}
    assert (await ann.client.get("/api/auth/me", headers=basic)).status_code == 403
