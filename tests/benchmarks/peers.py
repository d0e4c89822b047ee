"""The same work by django-post_office, django-mailer and the plain standard way, beside ours, to the same sink.

Ours is tracked, with six links, a pixel and a signed return path in each mail; the others send what they are given.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from email.message import EmailMessage
from email.policy import SMTP
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import aiosmtplib

from core.delivery.engine import Engine
from core.delivery.request import QueueRequest
from core.runtime import get_model
from tests.benchmarks.hosts import DATABASES, LANES, hosted, sink
from tests.benchmarks.mails import SENDER, body_of, recipient
from tests.benchmarks.measure import Row, Watch, watch

PEERS = {"post_office": "django-post_office", "mailer": "django-mailer"}
_BYTES = 2_000


async def benchmark(quick: bool) -> AsyncIterator[Row]:
    count = 200 if quick else 1500
    with sink() as port:
        naive = await _naive(port, count)
        yield Row("EmailMessage + aiosmtplib.send", naive.cpu_us(count), "CPU us/mail")
        used = {}
        for peer, name in PEERS.items():
            if find_spec(peer) is None:
                raise SystemExit(f"{name} is not installed; run `make bench`, or `pip install -e .[bench]`.")
            figures = await asyncio.to_thread(peer_figures, peer, port, count)
            used[peer] = figures["sending_cpu_s"] / figures["sent"] * 1e6
            yield Row(f"{name}, queue one by one", count / figures["single_s"], "mails/s")
            yield Row(f"{name}, queue in bulk", count * 2 / figures["bulk_s"], "mails/s")
            yield Row(f"{name}, send", figures["sent"] / figures["sending_s"], "mails/s")
            yield Row(f"{name}, send", used[peer], "CPU us/mail")
        for database in DATABASES:
            single, bulk, drained = await _ours(database, port, count)
            own_us = drained.cpu_us(count * 3)
            yield Row(f"ours, queue one by one, {database}", single.per_s(count), "mails/s")
            yield Row(f"ours, queue in bulk, {database}", bulk.per_s(count * 2), "mails/s")
            yield Row(f"ours, send tracked, {database}", drained.per_s(count * 3), "mails/s")
            yield Row(f"ours, send tracked, {database}", own_us, "CPU us/mail")
            for peer, name in PEERS.items():
                yield Row(f"ours / {name}, {database}", own_us / used[peer], "x CPU", "<= 0.2 of django-post_office")


def peer_figures(peer: str, port: int, count: int) -> dict[str, float]:
    """Return a peer's seconds, in a process of its own: `count` one by one, twice as many in bulk, and sending."""
    root = Path(__file__).resolve().parents[2]
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "tests.benchmarks.django_peers",
            peer,
            str(port),
            str(count),
            str(_BYTES),
            folder,
        ]
        done = subprocess.run(command, cwd=root, capture_output=True, check=True, text=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


async def _ours(database: str, port: int, count: int) -> tuple[Watch, Watch, Watch]:
    html, text = body_of(_BYTES)
    settings = {
        "SMTP_SERVER": "127.0.0.1",
        "SMTP_PORT": port,
        "SMTP_TLS": "none",
        "SMTP_CONCURRENCY": LANES,
        "BASE_URL": "https://bench.test",
        "MAIL_DOMAIN": "bench.test",
    }
    async with hosted(database, **settings):
        message = get_model("Message")
        with watch() as single:
            for number in range(count):
                await message.queue_email(
                    None, [recipient(number)], "Café", html, text=text, from_email=SENDER, track=True
                )

        def asked(one: int) -> QueueRequest:
            kept: dict[str, Any] = {"body": html, "text": text, "from_email": SENDER, "track": True}
            return QueueRequest(author=None, to=(recipient(one),), subject="Café", **kept)

        requests = list(map(asked, range(count, count * 3)))
        with watch() as bulk:
            await message.queue_many(requests)
        with watch() as drained:
            async with Engine() as engine:
                await engine.drain()
        sent = await message.filter(send_state="Sent").count()
        assert sent == count * 3, f"{sent} of {count * 3} mails were sent"
    return single, bulk, drained


async def _naive(port: int, count: int) -> Watch:
    html, text = body_of(_BYTES)
    with watch() as taken:
        for number in range(count):
            mail = EmailMessage(policy=SMTP)
            mail["From"], mail["To"], mail["Subject"] = SENDER, recipient(number), "Café"
            mail.set_content(text)
            mail.add_alternative(html, subtype="html")
            await aiosmtplib.send(mail, hostname="127.0.0.1", port=port, start_tls=False)
    return taken
