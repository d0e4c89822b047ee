"""SECURITY 3.B: what a PDF fetches, reads and costs, and who gets to see one.

`tests/render/test_pdf.py` asks the renderer; this asks through reports, records and the application.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pypdf
import pytest
from pypdf.generic import StreamObject

from core.errors import PostroomError, RenderError
from core.render.pdf import Pdf, PdfLimits, PdfRenderer
from core.runtime import Runtime, get_model
from tests.databases import sqlite_alone as database_url
from tests.security.pages import bombs, data_url, picture, places
from tests.web.conftest import Visitor, World, address, visitor, world
from tests.web.conftest import settings as desk

__all__ = ["address", "database_url", "desk", "visitor", "world"]
pytestmark = pytest.mark.anyio

SECRET = "planted-9f1c77"


@pytest.fixture
def settings(desk: dict[str, object]) -> dict[str, object]:
    return {**desk, "PDF_SECONDS": 2}


@pytest.fixture(scope="module")
async def renderer() -> AsyncIterator[PdfRenderer]:
    renderer = PdfRenderer(limits=PdfLimits(wall_s=1.5, memory_mb=256))
    yield renderer
    await renderer.aclose()


class Canary:
    """A server on this machine that nobody should ever ask; it redirects whoever does to where secrets are."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        self.requests.append(line)
        target = line.split(b"?to=")[1].split(b" ")[0] if b"?to=" in line else b"http://169.254.169.254/latest/"
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: " + target + b"\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()


@pytest.fixture
async def canary() -> AsyncIterator[Canary]:
    canary = Canary()
    server = await asyncio.start_server(canary.serve, "0.0.0.0", 0)
    canary.port = server.sockets[0].getsockname()[1]
    async with server:
        yield canary


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    file = tmp_path / "planted.txt"
    file.write_text(SECRET)
    (tmp_path / "planted.css").write_text(f"p::before {{ content: '{SECRET}' }}")
    (tmp_path / "planted.svg").write_text(f"<svg xmlns='http://www.w3.org/2000/svg'><text y='9'>{SECRET}</text></svg>")
    return file


def everything_in(pdf: Pdf) -> bytes:
    """The text, the streams and the embedded files of a PDF, in one piece."""
    document = pypdf.PdfReader(io.BytesIO(pdf.content))
    streams = []
    for number in range(1, cast("int", document.trailer["/Size"])):
        thing = document.get_object(number)
        if isinstance(thing, StreamObject):
            streams.append(thing.get_data())
    assert dict(document.attachments) == {}
    assert b"/EmbeddedFile" not in pdf.content
    text = "".join(page.extract_text() for page in document.pages)
    return pdf.content + b"".join(streams) + text.encode()


async def test_p1_no_place_in_a_page_reads_a_file(renderer: PdfRenderer, planted: Path) -> None:
    urls = (
        f"file://{planted}",
        f"FILE:{planted}",
        str(planted),
        "file:///etc/passwd",
        planted.with_suffix(".svg").as_uri(),
    )
    for url in urls:
        pdf = await renderer.render(places(url))
        found = everything_in(pdf)
        assert SECRET.encode() not in found
        assert b"root:x" not in found
        assert pdf.refused_urls


async def test_p1_text_of_records_is_text(host: Runtime, planted: Path) -> None:
    """A guest's words, printed by an honest report, are no markup; by a careless one (`safe`), they reach no file."""
    model = await get_model("ModelRegistry").get(identifier="Ticket")
    ticket = await get_model("Ticket").create(name="x", description=places(f"file://{planted}"))
    report = get_model("ReportAction")(identifier="r", name="R", model=model, content="<p>{{ description }}</p>")
    made = await report.render_pdf(ticket)
    text = pypdf.PdfReader(io.BytesIO(made.content)).pages[0].extract_text()
    assert "<link" in text
    report.content = "<p>{{ description | safe }}</p>"
    careless = Pdf(bytes((await report.render_pdf(ticket)).content), 1)
    assert SECRET.encode() not in everything_in(careless)


async def test_p2_nobody_is_asked_and_so_nobody_redirects(renderer: PdfRenderer, canary: Canary, planted: Path) -> None:
    for target in (f"file://{planted}", "http://169.254.169.254/", f"http://127.0.0.1:{canary.port}/second"):
        pdf = await renderer.render(places(f"http://127.0.0.1:{canary.port}/first?to={target}"))
        assert SECRET.encode() not in everything_in(pdf)
    assert canary.requests == []


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433", "017700000001", "0x7f.1",
     "127.1", "100.64.0.1", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "user@127.0.0.1", "127.0.0.1.", "①②⑦.0.0.1"],
)  # fmt: skip
async def test_p4_no_spelling_of_an_address_opens_a_socket(renderer: PdfRenderer, canary: Canary, host: str) -> None:
    for scheme in ("http", "https", "ftp", "HTTP", "gopher", "blob:http", "view-source:http"):
        pdf = await renderer.render(
            f"<img src='{scheme}://{host}:{canary.port}/x'><link rel=stylesheet href='//{host}'>"
        )
        assert pdf.refused_urls
    assert canary.requests == []


# P5: what it costs.


BOMBS = bombs()


@pytest.mark.parametrize("name", BOMBS)
async def test_p5_a_bomb_ends_in_words_or_in_a_pdf_and_the_next_report_is_made(
    renderer: PdfRenderer, name: str
) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    with contextlib.suppress(RenderError):
        assert (await renderer.render(BOMBS[name])).pages
    assert loop.time() - began < 5
    assert (await renderer.render("<p>next</p>")).pages == 1


async def test_p5_no_mail_goes_without_its_report(host: Runtime) -> None:
    model = await get_model("ModelRegistry").get(identifier="Ticket")
    report = await get_model("ReportAction").create(
        identifier="r", name="R", model=model, content=BOMBS["nested"], file_name="r.pdf"
    )
    await get_model("EmailTemplate").create(
        identifier="t",
        name="T",
        model=model,
        report=report,
        subject="s",
        content="<p>c</p>",
        to_email="a@customer.test",
    )
    ticket = await get_model("Ticket").create(name="x")
    with pytest.raises(PostroomError, match="nested too deeply"):
        await ticket.send_template("t")
    for name in ("Message", "Delivery", "Attachment"):
        assert await get_model(name).all().count() == 0
    report.content = "<p>mended</p>"
    await report.save()
    assert (await ticket.send_template("t")).send_state == "Queued"


@pytest.mark.parametrize("name", ["logo.png", "logo.jpg", "logo.eps", "logo"])
@pytest.mark.parametrize("before", [b"", b"\n ", b"\xc5\xd0\xd3\xc6" + b"\0" * 26])
async def test_p6_postscript_is_not_rendered_whatever_it_is_called(
    renderer: PdfRenderer, name: str, before: bytes
) -> None:
    content = before + picture("EPS", (9, 9))
    urls = (f"attachment:{name}", data_url(content, "image/png"), data_url(content, "application/postscript"))
    pdf = await renderer.render("".join(f"<img src='{url}'>" for url in urls), files={name: content})
    assert sum(len(page.images) for page in pypdf.PdfReader(io.BytesIO(pdf.content)).pages) == 0


# P7: who sees one.


async def test_p7_a_document_is_for_those_who_may_read_its_record(visitor: Visitor, world: World) -> None:
    model = await get_model("ModelRegistry").get(identifier="Ticket")
    report = get_model("ReportAction")(identifier="r", name="R", model=model, content="<p>x</p>", file_name="r.pdf")
    ours, theirs = await report.render_pdf(world.ticket), await report.render_pdf(world.foreign)
    ann, eve, nora, stranger = [await visitor(name) for name in ("ann", "eve", "nora", None)]
    assert (await ann.get(f"/attachments/{ours.id}")).content == bytes(ours.content)
    for browser, wanted in ((ann, theirs), (eve, ours), (nora, ours), (nora, theirs)):
        denied = await browser.get(f"/attachments/{wanted.id}")
        missing = await browser.get("/attachments/999999")
        assert denied.status_code == missing.status_code == 404
        assert denied.text.replace(f"attachment {wanted.id}", "") == missing.text.replace("attachment 999999", "")
    for path in (f"/attachments/{ours.id}", f"/report/{report.pk}", f"/reports/r/{world.ticket.id}"):
        answer = await stranger.get(path, follow_redirects=False)
        assert answer.status_code in (303, 401, 403, 404)
        assert b"%PDF" not in answer.content


async def test_t7_a_message_carries_no_file_by_its_number(visitor: Visitor, world: World) -> None:
    """SECURITY T7: naming somebody else's attachment in a form attaches nothing."""
    theirs = await get_model("Attachment").create(
        name="salaries.txt", content=SECRET.encode(), size_bytes=14, sha256="0" * 64, res_model="Ticket",
        res_id=world.foreign.id,
    )  # fmt: skip
    ann = await visitor("ann")
    await ann.get(f"/records/Ticket/{world.ticket.id}")
    fields = {
        "attachments": str(theirs.id),
        "attachment_ids": str(theirs.id),
        "attachment": f"/attachments/{theirs.id}",
    }
    await ann.post(f"/records/Ticket/{world.ticket.id}/message", body="Hi", to="carla@example.org", **fields)
    for message in await get_model("Message").all().prefetch_related("attachments"):
        assert list(message.attachments) == []
        assert SECRET.encode() not in bytes(await message.eml())
