"""Queueing through the public API: one mail a commit, alone and many callers at once; many in a call; rendered before.

Beside it the very rows that it stores, put in by the database's driver, and what django-post_office and django-mailer
queue, which keep a fifth of the columns and check little.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from importlib.util import find_spec

from core.delivery.request import QueueRequest
from core.orm.transaction import transaction
from core.runtime import get_model, runtime
from tests.benchmarks.hosts import DATABASES, hosted, sink
from tests.benchmarks.mails import SENDER, Body, body_of, recipient
from tests.benchmarks.measure import Row, Watch, watch
from tests.benchmarks.peers import PEERS, peer
from tests.benchmarks.raw_rows import raw_rows

_GOALS = {"sqlite": ">= 8000/s", "postgres": ">= 3000/s"}
_AT_ONCE = 50


async def benchmark(quick: bool) -> AsyncIterator[Row]:
    count = 300 if quick else 3000
    for database in DATABASES:
        async for row in _ours(database, count):
            yield row
    with sink() as port:
        for name, called in PEERS.items():
            if find_spec(name) is not None:
                with peer(name, port) as one_round:
                    done = await asyncio.to_thread(one_round, count // 3)
                yield Row(f"{called}, a commit each", done.single.per_s(done.count), "mails/s")
                yield Row(f"{called}, many", done.bulk.per_s(done.count), "mails/s")
                yield Row(f"{called}, many", done.bulk.cpu_us(done.count), "CPU us/mail")


async def _ours(database: str, count: int) -> AsyncIterator[Row]:
    body = body_of(2_000)
    html, text = body
    async with hosted(database):
        message = get_model("Message")

        async def queue_each(numbers: range) -> None:
            for number in numbers:
                await message.queue_email(None, [recipient(number)], "Café", html, text=text, from_email=SENDER)

        await queue_each(range(10))
        with watch() as single:
            await queue_each(range(count))
        with watch() as at_once:
            share = count // _AT_ONCE
            await asyncio.gather(*(queue_each(range(share)) for _ in range(_AT_ONCE)))
        with watch() as together:
            async with transaction():
                await queue_each(range(count))
        with watch() as many:
            await message.queue_many([_request(number, body) for number in range(count * 3)])
        with watch() as rendered:
            await message.queue_many([_rendered(number) for number in range(count * 3)])
        assert await get_model("Delivery").filter(state="queued").count() == 10 + count * 8 + share * _AT_ONCE
        raw_many, raw_single = await raw_rows(runtime().database.url, count * 3, count)
    yield _row("queue_email, a commit each", database, single, count, _GOALS[database], raw_single.per_s(count))
    yield _row(f"queue_email, {_AT_ONCE} callers at once", database, at_once, share * _AT_ONCE, _GOALS[database])
    yield _row("queue_email, one transaction", database, together, count, "")
    yield _row("queue_many", database, many, count * 3, ">= 60000/s", raw_many.per_s(count * 3))
    own_us, raw_us = many.cpu_us(count * 3), raw_many.cpu_us(count * 3)
    yield Row(f"queue_many, {database}", own_us, "CPU us/mail", "", own_us / raw_us)
    yield _row("render, then queue_many", database, rendered, count * 3, "")
    per_core = 1e6 / rendered.cpu_us(count * 3)
    yield Row(f"render, then queue_many, {database}", per_core, "mails/s per core", ">= 20000/s")
    yield _row("driver alone, a commit each", database, raw_single, count, "")
    yield _row("driver alone, many", database, raw_many, count * 3, "")


_SUBJECT = "Invoice {{ number }} of {{ name }}"
_BODY = """<p>Dear {{ name }},</p>{% for line in lines %}
<p>{{ line.name }}: {{ line.price }}</p>{% endfor %}"""


def _rendered(number: int) -> QueueRequest:
    data = {"name": "Kim", "number": number, "lines": [{"name": f"Item {one}", "price": 42} for one in range(3)]}
    renderer = runtime().renderer
    body = renderer.render(_BODY, data, escape=True).text
    subject = renderer.render_line(_SUBJECT, data).text
    return QueueRequest(author=None, to=(recipient(number),), subject=subject, body=body, from_email=SENDER)


def _request(number: int, body: Body) -> QueueRequest:
    return QueueRequest(
        author=None, to=(recipient(number),), subject="Café", body=body.html, text=body.text, from_email=SENDER
    )


def _row(name: str, database: str, taken: Watch, count: int, goal: str, yardstick: float | None = None) -> Row:
    rate = taken.per_s(count)
    return Row(f"{name}, {database}", rate, "mails/s", goal, yardstick and rate / yardstick)
