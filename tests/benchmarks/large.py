"""Large things: the memory that a mail of 25 MB takes, and how long the event loop waits while others are at work."""

from __future__ import annotations

import asyncio
import gc
from base64 import encodebytes
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from random import Random
from time import perf_counter

from core.delivery.engine import Engine
from core.delivery.request import QueueRequest
from core.gateway.receive import process_pending
from core.gateway.spool import store_many
from core.mail.sanitise import safe_html
from core.render.pdf import PdfRenderer
from core.runtime import get_model
from tests.benchmarks.hosts import DATABASES, hosted, sink
from tests.benchmarks.inbound import ADDON_SETTINGS
from tests.benchmarks.mails import SENDER, html_of, recipient
from tests.benchmarks.measure import Row, forget_peak, memory_mb

_TICK_S = 0.001
_HEAD = "From: Ada <ada@customer.test>\r\nTo: leads@our.test\r\nSubject: Large\r\nMIME-Version: 1.0\r\n"
_STEP = "<= 20 ms"


async def benchmark(quick: bool) -> AsyncIterator[Row]:
    for database in DATABASES:
        with sink() as port:
            settings = {"SMTP_SERVER": "127.0.0.1", "SMTP_PORT": port, "SMTP_TLS": "none"}
            async with hosted(database, MAX_MAIL_BYTES=30_000_000, **ADDON_SETTINGS, **settings):
                await get_model("EmailRoute").create(address="leads", target_model="Ticket")
                await _take_in(_of_html("warm", 1000))
                html_mail = partial(_take_in, _of_html("large", 2_000_000))
                yield Row(f"2 MB of HTML taken in, {database}", await _step_ms(html_mail), "ms", _STEP)
                await _queue(200 if quick else 2000)
                yield Row(f"draining, {database}", await _step_ms(_drain), "ms", _STEP)
                await store_many([("large:file", _of_file(18_000_000))])
                gc.collect()
                forget_peak()
                before_mb = memory_mb()
                await process_pending()
                yield Row(f"mail of 25 MB, {database}", memory_mb("VmHWM") - before_mb, "MB more", "<= 80")
    shown = html_of(2_000_000)
    yield Row("2 MB of HTML shown", await _step_ms(lambda: asyncio.to_thread(safe_html, shown, lambda cid: None)),
              "ms", _STEP)  # fmt: skip
    yield Row("making PDFs", await _step_ms(lambda: _pdfs(3 if quick else 30)), "ms", _STEP)


async def _step_ms(work: Callable[[], Awaitable[object]]) -> float:
    """Return how long the loop kept a clock waiting at most, while it did some work."""
    steps: list[float] = []

    async def tick() -> None:
        at = perf_counter()
        while True:
            await asyncio.sleep(_TICK_S)
            now = perf_counter()
            steps.append(now - at - _TICK_S)
            at = now

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(_TICK_S)
    await work()
    await asyncio.sleep(_TICK_S)
    ticking.cancel()
    return max(steps) * 1000


async def _take_in(raw: bytes) -> None:
    await store_many([(f"large:{len(raw)}", raw)])
    await process_pending()


async def _queue(count: int) -> None:
    await get_model("Message").queue_many(
        QueueRequest(author=None, to=(recipient(number),), subject="Café", body=html_of(2_000), from_email=SENDER)
        for number in range(count)
    )


async def _drain() -> None:
    async with Engine() as engine:
        await engine.drain()


async def _pdfs(count: int) -> None:
    renderer = PdfRenderer()
    try:
        for _ in range(count):
            await renderer.render("<h1>Invoice</h1>" + "<p>A line of it.</p>" * 20)
    finally:
        await renderer.aclose()


def _of_html(name: str, size_bytes: int) -> bytes:
    head = f"{_HEAD}Message-ID: <{name}@customer.test>\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
    return (head + html_of(size_bytes).replace("\n", "\r\n")).encode()


def _of_file(size_bytes: int) -> bytes:
    attached = encodebytes(Random(1).randbytes(size_bytes)).decode().replace("\n", "\r\n")
    part = 'Content-Type: application/pdf\r\nContent-Disposition: attachment; filename="plan.pdf"\r\n'
    head = f'{_HEAD}Message-ID: <file@customer.test>\r\nContent-Type: multipart/mixed; boundary="limit"\r\n\r\n'
    return f"{head}--limit\r\n{part}Content-Transfer-Encoding: base64\r\n\r\n{attached}\r\n--limit--\r\n".encode()
