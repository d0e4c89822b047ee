"""The same work by django-post_office, django-mailer and the plain standard way, beside ours, to the same sink.

All send the same mails. Then ours are tracked too, each with six links, a pixel and a signed return path, which the
others have not.
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
from statistics import median
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
_ROUNDS = 3
"""The middle one of so many drains, each with django-post_office after it: what else a machine does comes and goes."""


async def benchmark(quick: bool) -> AsyncIterator[Row]:
    count, rounds = (200, 1) if quick else (1000, _ROUNDS)
    with sink() as port:
        naive = await _naive(port, count)
        yield Row("EmailMessage + aiosmtplib.send", naive.cpu_us(count), "CPU us/mail")
        used = {}
        for peer, name in PEERS.items():
            if find_spec(peer) is None:
                raise SystemExit(f"{name} is not installed; run `make bench`, or `pip install -e .[bench]`.")
            figures = await asyncio.to_thread(peer_figures, peer, port, count)
            used[peer] = _sending_us(figures)
            yield Row(f"{name}, queue one by one", count / figures["single_s"], "mails/s")
            yield Row(f"{name}, queue in bulk", count * 2 / figures["bulk_s"], "mails/s")
            yield Row(f"{name}, send", figures["sent"] / figures["sending_s"], "mails/s")
            yield Row(f"{name}, send", used[peer], "CPU us/mail")
        for database in DATABASES:
            for how, track in (("", False), (" tracked", True)):
                pairs = []
                for _ in range(rounds):
                    single, bulk, drained = await _ours(database, port, count, track)
                    figures = await asyncio.to_thread(peer_figures, "post_office", port, count)
                    pairs.append((drained.cpu_us(count * 3), _sending_us(figures)))
                own_us = median(own for own, _ in pairs)
                yield Row(f"ours, queue one by one{how}, {database}", single.per_s(count), "mails/s")
                yield Row(f"ours, queue in bulk{how}, {database}", bulk.per_s(count * 2), "mails/s")
                yield Row(f"ours, send{how}, {database}", own_us, "CPU us/mail")
                ratio = median(own / theirs for own, theirs in pairs)
                yield Row(f"ours{how} / django-post_office, {database}", ratio, "x CPU", "" if track else "<= 0.2")
                yield Row(f"ours{how} / django-mailer, {database}", own_us / used["mailer"], "x CPU")


def _sending_us(figures: dict[str, float]) -> float:
    return figures["sending_cpu_s"] / figures["sent"] * 1e6


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


async def _ours(database: str, port: int, count: int, track: bool) -> tuple[Watch, Watch, Watch]:
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
                    None, [recipient(number)], "Café", html, text=text, from_email=SENDER, track=track
                )

        def asked(one: int) -> QueueRequest:
            kept: dict[str, Any] = {"body": html, "text": text, "from_email": SENDER, "track": track}
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
