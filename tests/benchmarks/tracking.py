"""Pixels and links: hits on one worker beside a bare Starlette route, what each hit leaves, and rewriting a mail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from statistics import median

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from core.mail.tracking import OPEN_PATH, Tracker, tracker
from core.runtime import get_model, settings
from tests.benchmarks.clients import client, served_at
from tests.benchmarks.hosts import DATABASES, hosted
from tests.benchmarks.measure import Row, watch

_BASE = "https://mail.acme.test"
_DELIVERIES = 1000
_PAIRS = 5
_LINE = (
    '<p>Très chère cliente, your order is on its way: <a href="https://shop.test/o/{}?a=1&amp;b=2">follow it</a>.</p>'
)
_HTML = f'<html><body><table role="presentation"><tr><td>{"{}"}{"".join(map(_LINE.format, range(6)))}</td></tr></table>'
_HTML += "<p>Our address and what the law asks for. </p>" * 22 + "</body></html>"


async def benchmark(quick: bool) -> AsyncIterator[Row]:
    for row in _rewriting(500 if quick else 20_000):
        yield row
    for database in DATABASES:
        async for row in _hits(database, 0.5 if quick else 3.0):
            yield row


def _rewriting(count: int) -> list[Row]:
    rewriter = Tracker(_BASE, ("secret",))
    html = _HTML.replace("{}", "Dear Kim")
    bodies = [_HTML.replace("{}", f"Dear Kim {number}") for number in range(count // 10)]
    assert html.count("href") == 6
    return [
        Row("2 kB, 6 links, one body", _us(lambda: str(rewriter.woven(html, 7)), count), "us/mail", "<= 15"),
        Row("2 kB, 6 links, each its own body", _each_us(rewriter, bodies), "us/mail", "<= 60"),
    ]


def _us(call: Callable[[], object], count: int) -> float:
    call()
    with watch() as taken:
        for _ in range(count):
            call()
    return taken.cpu_us(count)


def _each_us(rewriter: Tracker, bodies: list[str]) -> float:
    with watch() as taken:
        for number, body in enumerate(bodies):
            str(rewriter.woven(body, number))
    return taken.cpu_us(len(bodies))


async def _hits(database: str, seconds: float) -> AsyncIterator[Row]:
    async with hosted(database, BASE_URL=_BASE):
        paths = [OPEN_PATH + token for token in await _tokens()]
        asked = 0
        for name, of, goal in (
            ("one pixel", paths[:1], "<= 1.3 x bare Starlette"),
            (f"{_DELIVERIES} mails", paths, "a row each"),
        ):
            pairs = [(await _bare_us(seconds), await _ours(of, seconds)) for _ in range(_PAIRS)]
            told = [each for _, (_, each) in pairs]
            asked += sum(int(each["requests"]) for each in told)
            ratio = median(ours / bare for bare, (ours, _) in pairs)
            yield Row(f"CPU of a hit, {name}, {database}", median(ours for _, (ours, _) in pairs), "us", goal, ratio)
            rate = median(each["requests"] / each["seconds"] for each in told)
            yield Row(f"hits, {name}, {database}", rate, "hits/s", ">= 30000")
            yield Row(f"p99, {name}, {database}", median(each["p99_ms"] for each in told), "ms", "< 15")
        message = await get_model("Message").get()
    # What was answered when the client stopped looking was counted too.
    yield Row(f"answered and not counted, {database}", max(0, asked - message.open_count), "hits", "0")


async def _bare_us(seconds: float) -> float:
    async with _bare() as port:
        return (await _hammered(port, ["/pixel"], seconds))[0]


async def _ours(paths: list[str], seconds: float) -> tuple[float, dict[str, float]]:
    """Return the CPU of a hit, with the writing of all that it left, and what the client tells."""
    with watch() as taken:
        async with served_at() as port:
            _, told = await _hammered(port, paths, seconds)
    return taken.cpu_us(int(told["requests"])), told


async def _tokens() -> list[str]:
    message = await get_model("Message").create(direction="Outbound", send_state="Sent")
    deliveries = get_model("Delivery")
    await deliveries.bulk_create(
        [
            deliveries(message=message, recipient=f"kim{number}@customer.test", state="sent", due_at=message.created_at)
            for number in range(_DELIVERIES)
        ]
    )
    signs = tracker(_BASE, settings().secret_keys)
    return [signs.token(delivery_id) for delivery_id in await deliveries.all().values_list("id", flat=True)]


@asynccontextmanager
async def _bare() -> AsyncIterator[int]:
    """A route that answers with a picture and does nothing else."""
    gif = bytes(43)

    async def pixel(request: Request) -> Response:
        return Response(gif, media_type="image/gif", headers={"Cache-Control": "no-store"})

    app = Starlette(routes=[Route("/{path:path}", pixel)])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False, lifespan="off", ws="none"))
    server.capture_signals = nullcontext  # type: ignore[assignment]
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await serving


async def _hammered(port: int, paths: list[str], seconds: float) -> tuple[float, dict[str, float]]:
    """Return this process's CPU for a request, and what the client tells."""
    hammer = await client("hammer", port, seconds)
    with watch() as taken:
        output, _ = await hammer.communicate("\n".join(paths).encode())
    told: dict[str, float] = json.loads(output)
    return taken.cpu_us(int(told["requests"])), told
