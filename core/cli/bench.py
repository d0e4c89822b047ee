"""`postroom bench`: what this host does in a second, with its own database, templates and routes.

It sends no mail and keeps nothing: mails are queued in transactions that are rolled back. How fast mail leaves depends
on whose server takes it; `make bench` measures that against a sink.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from time import perf_counter
from types import MappingProxyType
from typing import Annotated, Any

import typer

from core.cli.command import command, host
from core.cli.output import Json, print_json_line
from core.delivery.request import QueueRequest
from core.errors import UnknownName, did_you_mean
from core.gateway.explain import explain
from core.mail.sketch import Sketch
from core.orm.transaction import transaction
from core.runtime import get_model, runtime, settings

_TOGETHER = 20
"""So many mails are queued in one transaction, which holds up nobody for long."""
Measured = AsyncIterator[tuple[str, Callable[[], Awaitable[int]]]]


def add_to(app: typer.Typer) -> None:
    command(app, "bench")(bench)


async def bench(
    name: Annotated[
        str | None, typer.Argument(help="database, queue, route or render; all of them by default.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.01, max=600, help="How long each is measured.")] = 1.0,
    as_json: Json = False,
) -> None:
    """Measure this host on its own configuration, with no mail sent and nothing kept.

    Example: postroom bench route --json
    """
    if name is not None and name not in _BENCHMARKS:
        raise UnknownName(f'There is no benchmark "{name}"; there are {", ".join(_BENCHMARKS)}.{_near(name)}')
    async with host():
        for benchmark in _BENCHMARKS if name is None else (name,):
            async for what, work in _BENCHMARKS[benchmark]():
                count, taken_s = await _timed(work, seconds)
                row = {"benchmark": benchmark, "name": what, "value": round(count / taken_s, 2), "unit": "1/s"}
                if as_json:
                    print_json_line({**row, "count": count, "seconds": round(taken_s, 3)})
                else:
                    typer.echo(f"{benchmark:9} {what:40} {row['value']:12,.2f} a second")


async def _timed(work: Callable[[], Awaitable[int]], seconds: float) -> tuple[int, float]:
    """Do work, once to warm up and then for so long; return how many were done, and in what time."""
    await work()
    count, begun_at = 0, perf_counter()
    while not count or perf_counter() - begun_at < seconds:
        count += await work()
    return count, perf_counter() - begun_at


async def _database() -> Measured:
    async def ask() -> int:
        await runtime().database.fetch("SELECT 1")
        return 1

    yield "statements", ask


async def _queue() -> Measured:
    asked = [
        QueueRequest(
            author=None,
            to=(f"kim{number}@customer.example",),
            subject="A measurement",
            body="<p>It is rolled back.</p>",
            from_email=settings().SMTP_FROM_EMAIL or f"bench@{settings().MAIL_DOMAIN}",
        )
        for number in range(_TOGETHER)
    ]

    async def queue() -> int:
        try:
            async with transaction():
                await get_model("Message").queue_many(asked)
                raise _RolledBackError
        except _RolledBackError:
            return _TOGETHER

    yield "mails queued, and rolled back", queue


async def _route() -> Measured:
    domain = settings().MAIL_DOMAIN
    aliases = await get_model("EmailRoute").filter(active=True).order_by("id").values_list("address", flat=True)
    sketch = Sketch(sender="kim@customer.example", to=next(iter(aliases), "nobody"), subject="A measurement")
    raw = sketch.raw(domain)

    async def decide() -> int:
        await explain(raw, verified=True)
        return 1

    yield f"mails to {sketch.to} decided about", decide


async def _render() -> Measured:
    for template in await get_model("EmailTemplate").filter(active=True).order_by("identifier").select_related("model"):
        record = await get_model(template.model.identifier).all().order_by("-id").first()
        if record is not None:

            async def render(template: Any = template, record: Any = record) -> int:
                await template.preview(record)
                return 1

            yield template.identifier, render


class _RolledBackError(Exception):
    """What ends a measurement's transaction."""


_BENCHMARKS: MappingProxyType[str, Callable[[], Measured]] = MappingProxyType(
    {"database": _database, "queue": _queue, "route": _route, "render": _render}
)


def _near(name: str) -> str:
    return did_you_mean(name, _BENCHMARKS)
