"""SECURITY P1, P2, P5, P6: what a hostile report gets, over real child processes and a listening socket."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import cast

import PIL.Image
import pypdf
import pytest
from pypdf.generic import StreamObject

from core.errors import RenderError
from core.render.pdf import Pdf, PdfLimits, PdfRenderer

pytestmark = pytest.mark.anyio

SECRET = "planted-9f1c77"


def png(width: int = 2, height: int = 2, form: str = "PNG") -> bytes:
    content = io.BytesIO()
    PIL.Image.new("RGB" if form == "EPS" else "1", (width, height)).save(content, form)
    return content.getvalue()


def data_url(content: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def text_of(pdf: Pdf) -> str:
    return "".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(pdf.content)).pages)


def streams_of(document: pypdf.PdfReader) -> Iterator[bytes]:
    for number in range(1, cast("int", document.trailer["/Size"])):
        thing = document.get_object(number)
        if isinstance(thing, StreamObject):
            yield thing.get_data()


def images_of(pdf: Pdf) -> int:
    return sum(len(page.images) for page in pypdf.PdfReader(io.BytesIO(pdf.content)).pages)


@pytest.fixture(scope="module")
async def renderer() -> AsyncIterator[PdfRenderer]:
    """One for all tests that leave its worker alive: to start one takes longer than to lay out a page."""
    renderer = PdfRenderer()
    yield renderer
    await renderer.aclose()


@pytest.fixture
async def fresh_renderer() -> AsyncIterator[PdfRenderer]:
    """One that has no worker yet."""
    renderer = PdfRenderer()
    yield renderer
    await renderer.aclose()


def children() -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()]


async def test_a_page_with_its_files(renderer: PdfRenderer) -> None:
    html = f'<h1>Invoice 7</h1><img src="attachment:logo%201.png"><img src="{data_url(png())}">'
    pdf = await renderer.render(html, files={"logo 1.png": png(3, 3)})
    assert pdf.content.startswith(b"%PDF-")
    assert (pdf.pages, pdf.refused_urls) == (1, ())
    assert "Invoice 7" in text_of(pdf)
    assert images_of(pdf) == 2


async def test_equal_input_gives_equal_bytes_whatever_came_between(renderer: PdfRenderer) -> None:
    first = await renderer.render("<p>one</p>")
    await renderer.render("<style>@font-face { font-family: x; src: url(data:font/ttf;base64,AAAA) }</style><p>two</p>")
    with pytest.raises(RenderError):
        await renderer.render("<div>" * 900)
    assert await renderer.render("<p>one</p>") == first
    other = PdfRenderer()
    assert await other.render("<p>one</p>") == first
    await other.aclose()


async def test_no_file_and_no_address_is_ever_fetched(renderer: PdfRenderer, tmp_path: Path) -> None:
    connections = 0

    def count(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.close()

    planted = tmp_path / "planted.txt"
    planted.write_text(SECRET)
    image = f'<image width="9" height="9" href="file://{planted}"/>'
    svg = data_url(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">{image}</svg>'.encode(), "image/svg+xml"
    )
    server = await asyncio.start_server(count, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        for url in (f"file://{planted}", f"http://127.0.0.1:{port}/x", f"FILE://{planted}", f"https://127.0.0.1:{port}/x",
                    f"ftp://127.0.0.1:{port}/x", "attachment:../planted.txt", f"attachment://{planted}"):  # fmt: skip
            pdf = await renderer.render(
                f"""
                <link rel=stylesheet href="{url}"><link rel=attachment href="{url}">
                <style>
                  @import url({url}); @font-face {{ font-family: f; src: url({url}) }}
                  p {{ font-family: f; background: url({url}); list-style: url({url}); display: list-item }}
                  p::before {{ content: url({url}) }} div {{ border: 9px solid; border-image: url({url}) 9 }}
                </style>
                <p>text</p><div>box</div><a rel=attachment href="{url}">a</a>
                <img src="{url}"><img srcset="{url} 2x"><object data="{url}"></object><embed src="{url}">
                <iframe src="{url}"></iframe><svg><image href="{url}"/><use href="{url}#a"/></svg><img src="{svg}">
                """,
                files={"planted": b"x"},
            )
            document = pypdf.PdfReader(io.BytesIO(pdf.content))
            assert dict(document.attachments) == {}
            assert SECRET not in text_of(pdf)
            assert SECRET.encode() not in pdf.content + b"".join(streams_of(document))
            assert url in pdf.refused_urls
            assert f"file://{planted}" in pdf.refused_urls
        based = await renderer.render(f'<base href="http://127.0.0.1:{port}/"><img src="a.png">')
        assert based.refused_urls == (f"http://127.0.0.1:{port}/a.png",)
    assert connections == 0


async def test_postscript_renamed_is_not_rendered(renderer: PdfRenderer) -> None:
    pdf = await renderer.render('<img src="attachment:a.png">', files={"a.png": png(9, 9, "EPS")})
    assert images_of(pdf) == 0
    assert pdf.refused_urls == ("attachment:a.png",)


async def test_a_picture_of_too_many_pixels_is_an_error(renderer: PdfRenderer) -> None:
    with pytest.raises(RenderError, match="too many pixels"):
        await renderer.render('<img src="attachment:a.png">', files={"a.png": png(10_000, 10_000)})
    assert (await renderer.render("<p>next</p>")).pages == 1


@pytest.mark.parametrize(
    ("html", "wall_s", "words"),
    [
        ("<div>" * 900, 30, "nested too deeply"),
        ("<p style='break-after: page'>x</p>" * 6, 30, "has 6 pages, and 5 is the limit"),
        ("<table>" + "<tr><td>a<td>b<td>c" * 20_000, 1, "takes longer than 1 s"),
        ("x" * 200_000_0, 30, "bytes of HTML"),
    ],
)
async def test_a_limit_is_told_and_the_next_render_works(html: str, wall_s: float, words: str) -> None:
    renderer = PdfRenderer(limits=PdfLimits(wall_s=wall_s, pages=5, html_bytes=1_000_000))
    with pytest.raises(RenderError, match=words):
        await renderer.render(html)
    assert (await renderer.render("<p>next</p>")).pages == 1
    await renderer.aclose()


@pytest.mark.parametrize(
    "html",
    [
        "<div style='width: 10000000px; height: 10000000px; background: red'>x</div>",
        "<p style='font-size: 10000000px; letter-spacing: 10000000px'>x y z</p>",
        "<svg width='9' height='9'><filter id='a'>" + "<feGaussianBlur stdDeviation='999999'/>" * 999 + "</filter>"
        "<rect width='9999999' height='9999999' filter='url(#a)'/></svg>",
        "<svg width='9' height='9'><g id='a'><use href='#a'/><use href='#a'/></g></svg>",
        "<table>" + "<td colspan=99999 rowspan=99999>x" * 99 + "</table>",
        "<style>:root { --a: x x; "
        + "".join(f"--b{n}: var(--b{n - 1}) var(--b{n - 1}); " for n in range(1, 60))
        + "}</style>",
    ],
)
async def test_huge_values_end_in_a_pdf_or_an_error(html: str) -> None:
    renderer = PdfRenderer(limits=PdfLimits(wall_s=1))
    with contextlib.suppress(RenderError):
        assert (await renderer.render(html)).pages
    assert (await renderer.render("<p>next</p>")).pages == 1
    await renderer.aclose()


async def test_memory_is_bounded() -> None:
    renderer = PdfRenderer(limits=PdfLimits(memory_mb=4))
    with pytest.raises(RenderError, match="memory"):
        await renderer.render(f"<img src='{data_url(bytes(7_000_000))}'>")
    assert (await renderer.render("<p>next</p>")).pages == 1
    await renderer.aclose()


async def test_a_killed_worker_is_replaced(fresh_renderer: PdfRenderer) -> None:
    before = set(children())
    await fresh_renderer.render("<p>x</p>")
    (worker,) = set(children()) - before
    render = asyncio.create_task(fresh_renderer.render("<table>" + "<tr><td>a<td>b" * 5_000))
    await asyncio.sleep(0.05)
    os.kill(worker, signal.SIGKILL)
    with pytest.raises(RenderError, match="broke its PDF worker"):
        await render
    assert (await fresh_renderer.render("<p>next</p>")).pages == 1


async def test_a_cancelled_render_ends_its_worker(renderer: PdfRenderer) -> None:
    await renderer.render("<p>x</p>")
    render = asyncio.create_task(renderer.render("<table>" + "<tr><td>a<td>b" * 20_000))
    await asyncio.sleep(0.05)
    render.cancel()
    with pytest.raises(asyncio.CancelledError):
        await render
    assert (await renderer.render("<p>next</p>")).pages == 1


async def test_the_worker_knows_no_secret(fresh_renderer: PdfRenderer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTROOM_SECRET_KEY", SECRET)
    before = set(children())
    await fresh_renderer.render("<p>x</p>")
    (worker,) = set(children()) - before
    assert SECRET.encode() not in Path(f"/proc/{worker}/environ").read_bytes()


async def test_closing_leaves_no_child() -> None:
    before = children()
    renderer = PdfRenderer(size=2)
    pdfs = await asyncio.gather(*(renderer.render(f"<p>{number}</p>") for number in range(4)))
    assert [text_of(pdf).strip() for pdf in pdfs] == ["0", "1", "2", "3"]
    await renderer.aclose()
    assert children() == before
    with pytest.raises(RenderError, match="closed"):
        await renderer.render("<p>x</p>")


async def test_no_orphan_after_a_killed_parent() -> None:
    program = (
        "import asyncio, sys\n"
        "from core.render.pdf import PdfRenderer\n"
        "async def main():\n"
        "    renderer = PdfRenderer()\n"
        "    await renderer.render('<p>x</p>')\n"
        "    print(renderer._idle[0]._process.pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    ) as parent:
        assert parent.stdout is not None
        worker = Path("/proc", (await asyncio.to_thread(parent.stdout.readline)).decode().strip())
        assert worker.exists()
        parent.kill()
    async with asyncio.timeout(5):
        while worker.exists() and " Z " not in (worker / "stat").read_text():
            await asyncio.sleep(0.02)


async def test_the_loop_goes_on_while_a_pdf_is_made(renderer: PdfRenderer) -> None:
    await renderer.render("<p>x</p>")
    turns = 0
    render = asyncio.create_task(renderer.render("<table>" + "<tr><td>a<td>b" * 300))
    while not render.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert render.result().pages > 1
    assert turns > 20
