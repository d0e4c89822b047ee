"""Files by the API: brought, told of, fetched in parts, deleted; and never anybody else's."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from core.runtime import get_model
from tests.web.browser import Browser
from tests.web.conftest import Visitor, World

pytestmark = pytest.mark.anyio

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(64))
ADDRESS = "/api/files"


@pytest.fixture
def settings(settings: dict[str, object]) -> dict[str, object]:
    return {**settings, "MAX_FILE_BYTES": 6_000_000}


@pytest.fixture(autouse=True)
async def rights(world: World) -> None:
    model = await get_model("ModelRegistry").get(identifier="Attachment")
    for group in ("agent", "user"):
        one = await get_model("Group").get(identifier=group)
        await get_model("ModelAccess").create(model=model, group=one, can_read=True, can_create=True)


async def bring(who: Browser, content: bytes, name: str = "a.png", kind: str = "image/png", **query: Any) -> Any:
    """Upload the bytes alone."""
    headers = {"Content-Type": kind, "X-CSRF-Token": who.token}
    return await who.client.post(ADDRESS, params={"name": name, **query}, content=content, headers=headers)


async def bring_form(who: Browser, content: bytes, name: str, kind: str = "", **fields: Any) -> Any:
    files = {"file": (name, content, kind)}
    return await who.client.post(ADDRESS, data={"csrf": who.token, **fields}, files=files)


async def remove(who: Browser, address: str) -> Any:
    return await who.client.delete(address, headers={"X-CSRF-Token": who.token})


async def test_a_file_comes_back_as_it_went(visitor: Visitor) -> None:
    ann = await visitor("ann")
    answer = await bring(ann, PNG)
    file = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"{ADDRESS}/{file['uuid']}"
    assert file["sha256"] == hashlib.sha256(PNG).hexdigest()
    assert (file["name"], file["content_type"], file["size_bytes"]) == ("a.png", "image/png", len(PNG))
    assert (file["path"], file["model"], file["record_id"]) == (None, None, None)
    assert (await ann.get(answer.headers["location"])).json() == file
    content = await ann.get(file["url"])
    assert (content.status_code, content.content) == (200, PNG)
    assert content.headers["etag"] == f'"{file["sha256"]}"'
    assert content.headers["content-disposition"].startswith("attachment;")
    assert content.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in content.headers["content-security-policy"]
    head = await ann.client.head(file["url"])
    assert (head.content, head.headers["content-length"]) == (b"", str(len(PNG)))
    page = await ann.get(f"/attachments/{file['id']}", headers={"Range": "bytes=1-3"})
    assert (page.status_code, page.content) == (206, b"PNG")


async def test_a_large_file_is_kept_in_pieces_and_fetched_in_parts(visitor: Visitor) -> None:
    ann = await visitor("ann")
    content = os.urandom(5_000_000)
    file = (await bring_form(ann, content, "big.bin", "application/octet-stream")).json()
    assert file["sha256"] == hashlib.sha256(content).hexdigest()
    assert not await get_model("UploadChunk").exists()
    assert not await get_model("Upload").exists()
    assert (await ann.get(file["url"])).content == content
    part = await ann.get(file["url"], headers={"Range": "bytes=999999-2000001"})
    assert (part.status_code, part.content) == (206, content[999_999:2_000_002])
    assert part.headers["content-range"] == "bytes 999999-2000001/5000000"
    assert (await ann.get(file["url"], headers={"Range": "bytes=5000000-"})).status_code == 416
    assert (await ann.get(file["url"], headers={"If-None-Match": part.headers["etag"]})).status_code == 304
    other = {"Range": "bytes=0-1", "If-Range": '"another"'}
    assert (await ann.get(file["url"], headers=other)).status_code == 200


async def test_a_body_without_a_length_is_stored_too(visitor: Visitor) -> None:
    ann = await visitor("ann")

    async def body() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b"x" * 100_000

    headers = {"X-CSRF-Token": ann.token, "Content-Type": "application/octet-stream"}
    answer = await ann.client.post(ADDRESS, params={"name": "x.bin"}, content=body(), headers=headers)
    assert (answer.status_code, answer.json()["size_bytes"]) == (201, 3_000_000)


async def test_too_large_a_file_leaves_nothing(visitor: Visitor) -> None:
    ann = await visitor("ann")
    assert (await bring(ann, bytes(6_000_001))).status_code == 413
    assert (await bring(ann, bytes(9_000_000))).status_code == 413
    assert not await get_model("Attachment").exists()
    assert not await get_model("UploadChunk").exists()


async def test_a_file_of_a_record_has_a_path_of_its_table(visitor: Visitor, world: World) -> None:
    ann = await visitor("ann")
    table = await get_model("ModelRegistry").get(identifier="Ticket")
    mine: dict[str, Any] = {"model": "Ticket", "record_id": world.ticket.pk}
    by_model = (await bring_form(ann, PNG, "brochure.png", **mine)).json()
    by_table = (await bring_form(ann, PNG, "brochure.png", table_id=table.pk, record_id=world.ticket.pk)).json()
    for file in (by_model, by_table):
        assert (file["model"], file["record_id"]) == ("Ticket", world.ticket.pk)
        assert file["path"].startswith(f"/space-{world.company.pk}-table-{table.pk}-")
        assert file["path"].endswith("-brochure.png")
        assert (await get_model("Attachment").get(path=file["path"])).uuid == file["uuid"]
    assert by_model["path"] != by_table["path"]
    meant = (await bring(ann, PNG, table_id=table.pk)).json()
    assert meant["path"]
    assert meant["record_id"] is None


async def test_a_file_goes_only_where_its_uploader_may_write(visitor: Visitor, world: World) -> None:
    ann, nora = await visitor("ann"), await visitor("nora")
    assert (await bring(ann, PNG, model="Ticket", record_id=world.foreign.pk)).status_code == 404
    assert (await bring(ann, PNG, model="Ticket", record_id=2**40)).status_code == 404
    assert (await bring(ann, PNG, model="Nothing", record_id=1)).status_code == 404
    assert (await bring(ann, PNG, table_id=10**9, record_id=1)).status_code == 404
    assert (await bring(ann, PNG, record_id=1)).status_code == 422
    assert (await bring(nora, PNG, model="Ticket", record_id=world.ticket.pk)).status_code == 403
    assert (await bring(nora, PNG, model="Ticket")).status_code == 403
    root = await visitor("root")
    for wrong in ("Nothing", "\U00020153ß", "Ticket' --"):
        assert (await bring(root, PNG, model=wrong)).status_code == 404
    assert not await get_model("Attachment").exists()


async def test_nobody_else_finds_a_file(visitor: Visitor, world: World) -> None:
    """W11: strangers, users without the right and other companies all see the same nothing."""
    ann, eve, nora, guest = [await visitor(name) for name in ("ann", "eve", "nora", "guest")]
    loose = (await bring(ann, PNG)).json()
    of_record = (await bring(ann, PNG, model="Ticket", record_id=world.ticket.pk)).json()
    note = await world.ticket.post_note("Look", attachments=[await get_model("Attachment").keep("n.png", PNG)])
    of_note = await get_model("Attachment").get(messages__id=note.pk)
    addresses = [f"{ADDRESS}/{one}" for one in (loose["uuid"], of_record["uuid"], of_note.uuid)]
    seen = {"eve": (404, 404, 404), "nora": (404, 404, 404), "guest": (404, 200, 404), "ann": (200, 200, 200)}
    for name, who in {"eve": eve, "nora": nora, "guest": guest, "ann": ann}.items():
        for suffix in ("", "/content"):
            found = tuple([(await who.get(address + suffix)).status_code for address in addresses])
            assert found == seen[name], (name, suffix)
    stranger = await visitor()
    for address in addresses:
        assert (await stranger.get(address)).status_code == 401
        assert (await remove(eve, address)).status_code == 404
    unknown = f"{ADDRESS}/00000000-0000-4000-8000-000000000000"
    nothing, hidden = (await eve.get(unknown)).json(), (await eve.get(addresses[0])).json()
    assert nothing["detail"] == hidden["detail"]


async def test_who_may_delete_a_file(visitor: Visitor, world: World) -> None:
    ann, guest, root = [await visitor(name) for name in ("ann", "guest", "root")]
    loose = (await bring(ann, PNG)).json()
    of_record = (await bring(ann, PNG, model="Ticket", record_id=world.ticket.pk)).json()
    assert (await remove(guest, f"{ADDRESS}/{of_record['uuid']}")).status_code == 403
    assert (await remove(ann, f"{ADDRESS}/{of_record['uuid']}")).status_code == 403
    assert (await remove(root, f"{ADDRESS}/{of_record['uuid']}")).status_code == 204
    assert (await remove(ann, f"{ADDRESS}/{loose['uuid']}")).status_code == 204
    assert (await ann.get(f"{ADDRESS}/{loose['uuid']}")).status_code == 404
    sent = await get_model("Attachment").keep("sent.png", PNG)
    await world.ticket.post_note("Look", attachments=[sent])
    assert (await remove(root, f"{ADDRESS}/{sent.uuid}")).status_code == 409
    assert (await root.get(f"{ADDRESS}/{sent.uuid}")).status_code == 200


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd", "passwd"),
        ("..%2f..%2fx.txt", "..%2f..%2fx.txt"),
        ("C:\\x\\y.txt", "y.txt"),
        ("a\u202egnp.exe", "agnp.exe"),
        ('a"\r\nX: 1.pdf', "aX 1.pdf"),
        ("nul\0.txt", "_nul.txt"),
        ("..", "file"),
        ("", "file"),
        ("ü" * 400 + ".pdf", "ü" * 98 + ".pdf"),
    ],
)
async def test_hostile_names_are_made_safe(visitor: Visitor, name: str, safe: str) -> None:
    """H9: what is stored, and the header of a download, hold nothing that leaves them."""
    ann = await visitor("ann")
    file = (await bring(ann, b"x", name, "text/plain")).json()
    assert file["name"].strip(". ") == safe.strip(". ")
    content = await ann.get(file["url"])
    assert "x" not in {key.lower() for key in content.headers}
    assert "/" not in content.headers["content-disposition"]


async def test_a_raw_body_is_named_by_its_header(visitor: Visitor) -> None:
    ann = await visitor("ann")
    headers = {
        "Content-Type": "text/csv",
        "X-CSRF-Token": ann.token,
        "Content-Disposition": "attachment; filename=\"plain.csv\"; filename*=UTF-8''r%C3%A9sum%C3%A9.csv",
    }
    answer = await ann.client.post(ADDRESS, content=b"a,b\n", headers=headers)
    assert (answer.json()["name"], answer.json()["content_type"]) == ("résumé.csv", "text/csv")
    content = await ann.get(answer.json()["url"])
    assert content.headers["content-disposition"].endswith("filename*=UTF-8''r%C3%A9sum%C3%A9.csv")


@pytest.mark.parametrize(
    ("name", "called", "content"),
    [
        ("a.svg", "image/svg+xml", b"<svg onload=alert(1)>"),
        ("a.html", "text/html", b"<script>alert(1)</script>"),
        ("a.png", "image/png", b"<script>alert(1)</script>"),
        ("a.js", "", b"alert(1)"),
        ("a.xhtml", "application/xhtml+xml", b"<html/>"),
        ("a.bin", "x" * 500, b"x"),
    ],
)
async def test_what_a_browser_would_run_is_only_bytes(visitor: Visitor, name: str, called: str, content: bytes) -> None:
    """I20, H2."""
    ann = await visitor("ann")
    file = (await bring_form(ann, content, name, called)).json()
    assert file["content_type"] == "application/octet-stream"
    answer = await ann.get(file["url"])
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment;")


async def test_a_form_of_another_site_brings_nothing(visitor: Visitor) -> None:
    ann = await visitor("ann")
    ann.token = "forged"
    assert (await bring_form(ann, PNG, "a.png")).status_code == 403
    assert (await bring(ann, PNG)).status_code == 403
    assert not await get_model("Attachment").exists()


async def test_what_is_no_file_is_refused_in_words(visitor: Visitor) -> None:
    ann = await visitor("ann")
    token = {"X-CSRF-Token": ann.token}
    assert (await ann.client.post(ADDRESS, data={"a": "b"}, headers=token)).status_code == 415
    assert (await ann.client.post(ADDRESS, files={"other": b"x"}, headers=token)).status_code == 422
    assert (await bring_form(ann, PNG, "a.png", record_id="seven", model="Ticket")).status_code == 422
    for wrong in ("not-a-uuid", "..%2f..%2fetc%2fpasswd", "%00"):
        assert (await ann.get(f"{ADDRESS}/{wrong}/content")).status_code in (404, 422)
