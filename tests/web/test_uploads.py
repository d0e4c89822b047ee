"""Resumable uploads by tus 1.0.0, as a client of another house would do them."""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64encode
from collections.abc import AsyncIterator
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from core import clock
from core.runtime import get_model
from tests.databases import both as database_url
from tests.web.browser import Browser
from tests.web.conftest import Visitor, World

__all__ = ["database_url"]
pytestmark = pytest.mark.anyio

UPLOADS = "/api/files/uploads"
CONTENT = Random(5).randbytes(3_500_000)


@pytest.fixture
def settings(settings: dict[str, object]) -> dict[str, object]:
    return {**settings, "MAX_FILE_BYTES": 4_000_000}


@pytest.fixture(autouse=True)
async def rights(world: World) -> None:
    model = await get_model("ModelRegistry").get(identifier="Attachment")
    group = await get_model("Group").get(identifier="agent")
    await get_model("ModelAccess").create(model=model, group=group, can_read=True, can_create=True)


def tus(who: Browser, **headers: str) -> dict[str, str]:
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return {"Tus-Resumable": "1.0.0", "X-CSRF-Token": who.token, **named}


def said(**values: str) -> str:
    return ",".join(f"{key} {b64encode(value.encode()).decode()}" for key, value in values.items())


async def begin(who: Browser, size: int = len(CONTENT), content: Any = b"", **headers: str) -> Any:
    headers = tus(who, Upload_Length=str(size), **headers)
    if content:
        headers["Content-Type"] = "application/offset+octet-stream"
    return await who.client.post(UPLOADS, content=content, headers=headers)


async def go_on(who: Browser, where: str, offset: int, content: Any, **headers: str) -> Any:
    kind = {"Content-Type": "application/offset+octet-stream"}
    headers = {**tus(who, Upload_Offset=str(offset), **headers), **kind}
    return await who.client.patch(where, content=content, headers=headers)


async def ask(who: Browser, where: str) -> Any:
    return await who.client.head(where, headers=tus(who))


async def fetched(who: Browser, where: str) -> bytes:
    content: bytes = (await who.get(where.replace("/uploads/", "/") + "/content")).content
    return content


async def test_a_file_comes_in_several_requests(visitor: Visitor, world: World) -> None:
    ann = await visitor("ann")
    named = said(filename="plan.bin", filetype="application/x-plan", model="Ticket", record_id=str(world.ticket.pk))
    begun = await begin(ann, Upload_Metadata=named)
    where = begun.headers["location"]
    assert (begun.status_code, begun.headers["tus-resumable"], begun.headers["upload-offset"]) == (201, "1.0.0", "0")
    assert begun.headers["upload-expires"].endswith(" GMT")
    first = await go_on(ann, where, 0, CONTENT[:2_000_000])
    assert (first.status_code, first.headers["upload-offset"]) == (204, "2000000")
    assert "content-location" not in first.headers
    asked = await ask(ann, where)
    assert (asked.headers["upload-offset"], asked.headers["upload-length"]) == ("2000000", "3500000")
    assert (asked.headers["upload-metadata"], asked.headers["cache-control"]) == (named, "no-store")
    last = await go_on(ann, where, 2_000_000, CONTENT[2_000_000:])
    assert last.headers["content-location"] == where.replace("/uploads/", "/")
    file = (await ann.get(last.headers["content-location"])).json()
    assert (file["name"], file["content_type"]) == ("plan.bin", "application/x-plan")
    assert (file["model"], file["record_id"]) == ("Ticket", world.ticket.pk)
    assert file["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert await fetched(ann, where) == CONTENT
    assert not await get_model("UploadChunk").exists()
    assert (await ask(ann, where)).headers["upload-offset"] == "3500000"
    assert (await go_on(ann, where, 3_500_000, b"")).status_code == 204
    assert (await go_on(ann, where, 3_500_000, b"x")).status_code == 413
    assert await get_model("Attachment").all().count() == 1


async def test_what_came_before_the_connection_broke_is_kept(visitor: Visitor) -> None:
    ann = await visitor("ann")
    where = (await begin(ann)).headers["location"]

    async def breaking() -> AsyncIterator[bytes]:
        yield CONTENT[:1_200_000]
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await go_on(ann, where, 0, breaking())
    offset = await settled(ann, where)
    assert 0 < offset <= 1_200_000
    assert (await go_on(ann, where, offset, CONTENT[offset:])).status_code == 204
    assert await fetched(ann, where) == CONTENT


async def settled(who: Browser, where: str) -> int:
    """Return the offset once the broken request has been worked off."""
    last = -1
    for _ in range(100):
        offset = int((await ask(who, where)).headers["upload-offset"])
        if offset == last and offset >= 1_200_000:
            return offset
        last = offset
        await asyncio.sleep(0.02)
    return last


async def test_a_beginning_may_come_with_the_announcement(visitor: Visitor) -> None:
    ann = await visitor("ann")
    begun = await begin(ann, 10, b"01234")
    assert (begun.status_code, begun.headers["upload-offset"]) == (201, "5")
    assert (await go_on(ann, begun.headers["location"], 5, b"56789")).status_code == 204
    whole = await begin(ann, 5, b"whole")
    assert await fetched(ann, whole.headers["location"]) == b"whole"
    empty = await begin(ann, 0)
    assert empty.headers["content-location"]
    assert await fetched(ann, empty.headers["location"]) == b""


async def test_of_two_at_one_offset_one_wins(visitor: Visitor) -> None:
    ann = await visitor("ann")
    where = (await begin(ann, 4)).headers["location"]
    answers = await asyncio.gather(*(go_on(ann, where, 0, content) for content in (b"aaaa", b"bbbb", b"cccc")))
    assert sorted(answer.status_code for answer in answers) == [204, 409, 409]
    winner = [answer.status_code for answer in answers].index(204)
    assert await fetched(ann, where) == [b"aaaa", b"bbbb", b"cccc"][winner]


async def test_a_wrong_offset_is_a_conflict(visitor: Visitor) -> None:
    ann = await visitor("ann")
    where = (await begin(ann, 4)).headers["location"]
    answer = await go_on(ann, where, 1, b"x")
    assert (answer.status_code, answer.headers["tus-resumable"]) == (409, "1.0.0")
    for offset in ("-1", "x", "1.0", "9" * 50):
        headers = {**tus(ann, Upload_Offset=offset), "Content-Type": "application/offset+octet-stream"}
        assert (await ann.client.patch(where, content=b"x", headers=headers)).status_code == 400
    assert (await ask(ann, where)).headers["upload-offset"] == "0"


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
async def test_bytes_without_their_checksum_are_not_kept(visitor: Visitor, algorithm: str) -> None:
    ann = await visitor("ann")
    where = (await begin(ann)).headers["location"]
    right = b64encode(hashlib.new(algorithm, CONTENT).digest()).decode()
    answer = await go_on(ann, where, 0, CONTENT[:-1] + b"!", Upload_Checksum=f"{algorithm} {right}")
    assert answer.status_code == 460
    assert answer.json()["code"] == "checksum"
    assert (await ask(ann, where)).headers["upload-offset"] == "0"
    assert (await go_on(ann, where, 0, CONTENT, Upload_Checksum=f"{algorithm} {right}")).status_code == 204
    assert await fetched(ann, where) == CONTENT


async def test_a_checksum_that_nobody_knows(visitor: Visitor) -> None:
    ann = await visitor("ann")
    where = (await begin(ann, 4)).headers["location"]
    for checksum in ("crc32 AAAA", "sha1 not-base64!", "sha1"):
        answer = await go_on(ann, where, 0, b"abcd", Upload_Checksum=checksum)
        assert answer.status_code == (460 if checksum == "sha1" else 400)


async def test_an_upload_can_be_given_up(visitor: Visitor) -> None:
    ann = await visitor("ann")
    where = (await begin(ann, 4, b"ab")).headers["location"]
    assert (await ann.client.delete(where, headers=tus(ann))).status_code == 204
    assert (await ask(ann, where)).status_code == 404
    assert not await get_model("UploadChunk").exists()


async def test_an_upload_whose_time_is_over_is_swept(visitor: Visitor) -> None:
    ann = await visitor("ann")
    old = (await begin(ann, 4, b"ab")).headers["location"]
    young = (await begin(ann, 4, b"ab")).headers["location"]
    of_old = get_model("Upload").filter(uuid=old.rpartition("/")[2])
    await of_old.update(expires_at=clock.now() - timedelta(seconds=1))
    assert (await go_on(ann, old, 2, b"cd")).status_code == 404
    assert await get_model("Upload").cron_sweep() == 1
    assert await get_model("UploadChunk").all().count() == 1
    assert (await go_on(ann, young, 2, b"cd")).status_code == 204


async def test_a_worker_that_died_before_the_end_costs_nothing(visitor: Visitor) -> None:
    """All bytes are here, and the file was not made yet: whoever asks next makes it."""
    ann = await visitor("ann")
    where = (await begin(ann, 4, b"ab")).headers["location"]
    upload = await get_model("Upload").get(uuid=where.rpartition("/")[2])
    await upload.append(b"cd")
    assert not await get_model("Attachment").exists()
    assert (await ask(ann, where)).headers["content-location"]
    assert await fetched(ann, where) == b"abcd"


async def test_another_users_upload_is_not_there(visitor: Visitor) -> None:
    ann, eve, stranger = await visitor("ann"), await visitor("eve"), await visitor()
    where = (await begin(ann, 4)).headers["location"]
    assert (await ask(eve, where)).status_code == 404
    assert (await go_on(eve, where, 0, b"evil")).status_code == 404
    assert (await eve.client.delete(where, headers=tus(eve))).status_code == 404
    assert (await stranger.client.head(where, headers=tus(ann))).status_code == 401
    assert (await go_on(ann, where, 0, b"good")).status_code == 204
    assert (await eve.get(where.replace("/uploads/", "/"))).status_code == 404


async def test_the_record_must_be_writable_at_both_ends(visitor: Visitor, world: World) -> None:
    ann, nora = await visitor("ann"), await visitor("nora")
    foreign = said(filename="a", model="Ticket", record_id=str(world.foreign.pk))
    assert (await begin(ann, 4, Upload_Metadata=foreign)).status_code == 404
    own = said(filename="a", model="Ticket", record_id=str(world.ticket.pk))
    assert (await begin(nora, 4, Upload_Metadata=own)).status_code == 403
    where = (await begin(ann, 4, Upload_Metadata=own)).headers["location"]
    world.ticket.company = world.other_company
    await world.ticket.save()
    assert (await go_on(ann, where, 0, b"abcd")).status_code == 404
    assert not await get_model("Attachment").exists()


async def test_what_the_protocol_demands_of_headers(visitor: Visitor) -> None:
    ann = await visitor("ann")
    told = await ann.client.options(UPLOADS, headers={"X-CSRF-Token": ann.token})
    assert (told.status_code, told.headers["tus-version"], told.headers["tus-max-size"]) == (204, "1.0.0", "4000000")
    assert set(told.headers["tus-extension"].split(",")) == {
        *("creation", "creation-with-upload", "expiration", "checksum", "termination")
    }
    assert "sha1" in told.headers["tus-checksum-algorithm"].split(",")
    for version in ({}, {"Tus-Resumable": "0.2.2"}):
        headers = {"X-CSRF-Token": ann.token, "Upload-Length": "4", **version}
        answer = await ann.client.post(UPLOADS, headers=headers)
        assert (answer.status_code, answer.headers["tus-version"]) == (412, "1.0.0")
    assert (await begin(ann, 4_000_001)).status_code == 413
    for length in ("", "-1", "x", "9" * 40):
        headers = {**tus(ann), "Upload-Length": length}
        assert (await ann.client.post(UPLOADS, headers=headers)).status_code == 400
    assert (await ann.client.post(UPLOADS, headers=tus(ann, Upload_Defer_Length="1"))).status_code == 400
    for metadata in ("filename not-base64!", "a YQ==,a YQ=="):
        assert (await begin(ann, 4, Upload_Metadata=metadata)).status_code == 400
    where = (await begin(ann, 4)).headers["location"]
    plain = {**tus(ann, Upload_Offset="0"), "Content-Type": "application/octet-stream"}
    assert (await ann.client.patch(where, content=b"abcd", headers=plain)).status_code == 415
    assert (await go_on(ann, where, 0, b"abcde")).status_code == 413
    assert (await ask(ann, where)).headers["upload-offset"] == "0"


async def test_a_client_that_knows_post_alone(visitor: Visitor) -> None:
    ann = await visitor("ann")
    where = (await begin(ann, 4)).headers["location"]
    kind = {"Content-Type": "application/offset+octet-stream", "X-HTTP-Method-Override": "PATCH"}
    answer = await ann.client.post(where, content=b"abcd", headers={**tus(ann, Upload_Offset="0"), **kind})
    assert answer.status_code == 204
    assert (await ann.client.post(where, headers=tus(ann))).status_code == 405


async def test_nobody_fills_the_database_with_beginnings(visitor: Visitor) -> None:
    ann = await visitor("ann")
    for _ in range(100):
        assert (await begin(ann, 4)).status_code == 201
    assert (await begin(ann, 4)).status_code == 422
