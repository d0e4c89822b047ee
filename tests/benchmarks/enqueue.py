"""Queueing through the public API: one mail a commit, many in a transaction, and many at once."""

from __future__ import annotations

from collections.abc import AsyncIterator

from core.delivery.request import QueueRequest
from core.orm.transaction import transaction
from core.runtime import get_model, runtime
from tests.benchmarks.hosts import DATABASES, hosted
from tests.benchmarks.mails import SENDER, html_of, recipient
from tests.benchmarks.measure import Row, Watch, watch

_GOALS = {"sqlite": ">= 8000/s", "postgres": ">= 3000/s"}


async def benchmark(quick: bool) -> AsyncIterator[Row]:
    count = 300 if quick else 3000
    html = html_of(2_000)
    for database in DATABASES:
        async with hosted(database):
            message = get_model("Message")

            async def queue_each(first: int, message: type = message) -> None:
                for number in range(first, first + count):
                    await message.queue_email(None, [recipient(number)], "Café", html, from_email=SENDER)  # type: ignore[attr-defined]

            with watch() as single:
                await queue_each(0)
            with watch() as together:
                async with transaction():
                    await queue_each(count)
            with watch() as many:
                await message.queue_many([_request(number, html) for number in range(count * 3)])
            with watch() as rendered:
                await message.queue_many([_rendered(number) for number in range(count * 3)])
            assert await get_model("Delivery").filter(state="queued").count() == count * 8
        yield _row("queue_email, a commit each", database, single, count, _GOALS[database])
        yield _row("queue_email, one transaction", database, together, count, "")
        yield _row("queue_many", database, many, count * 3, ">= 60000/s")
        yield _row("render, then queue_many", database, rendered, count * 3, "")
        per_core = 1e6 / rendered.cpu_us(count * 3)
        yield Row(f"render, then queue_many, {database}", per_core, "mails/s per core", ">= 20000/s")


_SUBJECT = "Invoice {{ number }} of {{ name }}"
_BODY = """<p>Dear {{ name }},</p>{% for line in lines %}
<p>{{ line.name }}: {{ line.price }}</p>{% endfor %}"""


def _rendered(number: int) -> QueueRequest:
    data = {"name": "Kim", "number": number, "lines": [{"name": f"Item {one}", "price": 42} for one in range(3)]}
    renderer = runtime().renderer
    body = renderer.render(_BODY, data, escape=True).text
    subject = renderer.render_line(_SUBJECT, data).text
    return QueueRequest(author=None, to=(recipient(number),), subject=subject, body=body, from_email=SENDER)


def _request(number: int, html: str) -> QueueRequest:
    return QueueRequest(author=None, to=(recipient(number),), subject="Café", body=html, from_email=SENDER)


def _row(name: str, database: str, taken: Watch, count: int, goal: str) -> Row:
    return Row(f"{name}, {database}", taken.per_s(count), "mails/s", goal)
