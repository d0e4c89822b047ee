"""S9: what host a request names decides no link of a mail. S10: no path, link or address becomes a file of a mail."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from core.runtime import Runtime, get_model
from tests.databases import sqlite_alone as database_url
from tests.security.door import Door, attachment, door_to, read
from tests.web.conftest import Visitor, World, address, visitor, world
from tests.web.conftest import settings as desk

__all__ = ["address", "database_url", "desk", "visitor", "world"]
pytestmark = pytest.mark.anyio

BASE = "http://post.desk.example"
EVIL = {
    "Host": "evil.example",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "https",
    "X-Host": "evil.example",
    "Forwarded": "host=evil.example;proto=https",
    "X-Original-URL": "http://evil.example/",
    "Origin": "http://evil.example",
    "Referer": "http://evil.example/",
}
PLANTED = b"planted-secret-of-this-machine"


@pytest.fixture
def base_url() -> str:
    return BASE


@pytest.fixture
def settings(desk: dict[str, object], base_url: str) -> dict[str, object]:
    return {**desk, "MAIL_MODE": "live", "BASE_URL": base_url, "UNDO_SECONDS": 0}


@pytest.fixture
async def door(host: Runtime) -> AsyncIterator[Door]:
    async with door_to() as opened:
        yield opened


async def _post(browser: Any, ticket: Any, headers: dict[str, str], **fields: Any) -> Any:
    path = f"/records/Ticket/{ticket.id}"
    await browser.get(path)
    data = {"csrf": browser.token, "to": "carla@example.org", "body": "Hello", **fields}
    return await browser.client.post(f"{path}/message", data=data, headers=headers)


@pytest.mark.parametrize("name", EVIL)
async def test_s9_the_host_of_a_request_is_in_no_mail(door: Door, visitor: Visitor, world: World, name: str) -> None:
    answer = await _post(await visitor("ann"), world.ticket, {name: EVIL[name]})
    assert "evil" not in str(answer.headers).casefold()
    taken = await door.sent()
    assert taken or answer.status_code >= 400
    for accepted in taken:
        assert b"evil" not in accepted.raw
        assert "evil" not in accepted.sender


async def test_s9_every_link_of_ours_starts_with_the_configured_address(host: Runtime, door: Door) -> None:
    body = '<p><a href="https://shop.example/a">a</a> <a href="%unsubscribe_url%">leave</a></p>'
    await door.queue(body=body, track=True, unsubscribe_list="news", from_email="x@desk.example")
    (accepted,) = await door.sent()
    message = read(accepted.raw)
    html = message.get_body(("html",)).get_content()
    links = re.findall(r'(?:href|src)="([^"]+)"', html)
    assert len(links) == 3
    assert all(link.startswith(BASE + "/") for link in links)
    assert message["List-Unsubscribe"].startswith(f"<{BASE}/")


@pytest.mark.parametrize("base_url", [""])
async def test_s9_without_a_configured_address_there_are_no_links(host: Runtime, door: Door, base_url: str) -> None:
    body = '<p><a href="https://shop.example/a">a</a></p>'
    await door.queue(body=body, track=True, unsubscribe_list="news", from_email="x@desk.example")
    for accepted in await door.sent():
        message = read(accepted.raw)
        assert 'href="https://shop.example/a"' in message.get_body(("html",)).get_content()
        assert "http" not in str(message["List-Unsubscribe"] or "")


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    file = tmp_path / "planted.txt"
    file.write_bytes(PLANTED)
    (tmp_path / "link.txt").symlink_to(file)
    return file


def places(planted: Path) -> list[str]:
    """Return the ways to name a file of this machine, or of another one."""
    return [
        str(planted),
        planted.as_uri(),
        str(planted.parent / "link.txt"),
        f"{planted.parent}/x/../planted.txt",
        "../" * 12 + str(planted)[1:],
        f"file://localhost{planted}",
        "/etc/passwd",
        "/proc/self/environ",
        "http://169.254.169.254/latest/meta-data/",
        "https://127.0.0.1/planted.txt",
        "data:text/plain,hello",
        "ftp://x.test/a",
        "\\\\server\\share\\a.txt",
    ]


async def test_s10_a_form_with_paths_attaches_nothing(
    door: Door, visitor: Visitor, world: World, planted: Path
) -> None:  # fmt: skip
    ann = await visitor("ann")
    names = ("attachments", "attachment", "attachment_ids", "attachments[]", "attachments[0][path]", "path", "href")
    for place in places(planted):
        answer = await _post(ann, world.ticket, {}, **dict.fromkeys(names, place), inline_images=place, report=place)
        assert answer.status_code in (303, 422)
    taken = await door.sent()
    assert taken
    for accepted in taken:
        assert PLANTED not in accepted.raw
        assert list(read(accepted.raw).iter_attachments()) == []


async def test_s10_json_with_paths_attaches_nothing(
    door: Door, visitor: Visitor, world: World, planted: Path
) -> None:  # fmt: skip
    ann = await visitor("ann")
    await ann.get(f"/records/Ticket/{world.ticket.id}")
    for place in places(planted):
        for one in ({"path": place}, {"href": place}, {"filename": "a.txt", "path": place}, {"raw": {"path": place}}):
            answer = await ann.client.post(
                f"/records/Ticket/{world.ticket.id}/message",
                json={"to": ["carla@example.org"], "body": "x", "csrf": ann.token, "attachments": [one]},
            )
            assert answer.status_code >= 400
    assert not await door.sent()


async def test_s10_a_path_given_to_the_queue_is_no_attachment(host: Runtime, door: Door, planted: Path) -> None:
    for place in places(planted):
        for options in (
            {"attachments": [place]},
            {"attachments": [Path(place)]},
            {"attachments": [{"path": place}]},
            {"inline_images": {"logo": place}},
            {"inline_images": {"logo": place.encode()}},
        ):
            try:
                assert await door.queue(from_email="x@desk.example", **options) is None
            except (AttributeError, TypeError):
                continue
    assert not await door.sent()
    assert await get_model("Message").all().count() == 0


async def test_s10_a_body_that_names_files_brings_none_along(host: Runtime, door: Door, planted: Path) -> None:
    for place in places(planted):
        body = (
            f'<html><head><base href="{place}"><link rel="stylesheet" href="{place}"><style>@import url("{place}");'
            f'p{{background:url("{place}")}}</style></head><body background="{place}"><img src="{place}"><p>x</p>'
            f'<object data="{place}"></object><iframe src="{place}"></iframe><a href="{place}">x</a></body></html>'
        )
        assert await door.queue(from_email="x@desk.example", body=body) is not None
    taken = await door.sent()
    assert len(taken) == len(places(planted))
    for accepted in taken:
        assert PLANTED not in accepted.raw
        assert b"root:" not in accepted.raw
        assert list(read(accepted.raw).iter_attachments()) == []


async def test_s10_a_file_s_own_name_opens_no_file(host: Runtime, door: Door, planted: Path) -> None:
    for place in places(planted):
        file = await attachment(place, b"mine", "text/plain")
        await door.queue(from_email="x@desk.example", attachments=[file])
    for accepted in await door.sent():
        (part,) = read(accepted.raw).iter_attachments()
        assert part.get_payload(decode=True) == b"mine"
