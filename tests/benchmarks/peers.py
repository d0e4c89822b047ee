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
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
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
_ROUNDS = 9
"""The middle one of so many pairs, ours and then django-post_office: what else a machine does comes and goes."""


@dataclass(frozen=True, slots=True)
class Round:
    """Queueing `count` mails one by one, as many in bulk, and sending them all."""

    count: int
    single: Watch
    bulk: Watch
    sending: Watch

    @property
    def sending_us(self) -> float:
        """CPU per mail."""
        return self.sending.cpu_us(2 * self.count)


async def benchmark(quick: bool) -> AsyncIterator[Row]:
    count, rounds = (100, 1) if quick else (500, _ROUNDS)
    with sink() as port:
        naive = await _naive(port, count)
        yield Row("EmailMessage + aiosmtplib.send", naive.cpu_us(count), "CPU us/mail")
        with peer("mailer", port) as mailer, peer("post_office", port) as post_office:
            theirs = [await asyncio.to_thread(mailer, count)]
            for row in _rows(PEERS["mailer"], theirs):
                yield row
            mailer_us = theirs[0].sending_us
            for row in _rows(PEERS["post_office"], [await asyncio.to_thread(post_office, count)]):
                yield row
            for database in DATABASES:
                for how, track in (("", False), (" tracked", True)):
                    ours, theirs = [], []
                    async with _ours(database, port, track) as one_round:
                        for _ in range(rounds):
                            ours.append(await one_round(count))
                            theirs.append(await asyncio.to_thread(post_office, count))
                    for row in _rows(f"ours{how}, {database}", ours):
                        yield row
                    ratio = median(own.sending_us / other.sending_us for own, other in zip(ours, theirs, strict=True))
                    yield Row(f"ours{how} / django-post_office, {database}", ratio, "x CPU", "" if track else "<= 0.2")
                    own_us = median(own.sending_us for own in ours)
                    yield Row(f"ours{how} / django-mailer, {database}", own_us / mailer_us, "x CPU")


def _rows(who: str, rounds: Sequence[Round]) -> Iterator[Row]:
    yield Row(f"{who}, queue one by one", median(one.single.per_s(one.count) for one in rounds), "mails/s")
    yield Row(f"{who}, queue in bulk", median(one.bulk.per_s(one.count) for one in rounds), "mails/s")
    yield Row(f"{who}, send", median(one.sending.per_s(2 * one.count) for one in rounds), "mails/s")
    yield Row(f"{who}, send", median(one.sending_us for one in rounds), "CPU us/mail")


@contextmanager
def peer(name: str, port: int) -> Iterator[Callable[[int], Round]]:
    """Start a peer in a process of its own; gives what has it do a round, which may wait in a thread."""
    if find_spec(name) is None:
        raise SystemExit(f"{PEERS[name]} is not installed; run `make bench`, or `pip install -e .[bench]`.")
    root = Path(__file__).resolve().parents[2]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.benchmarks.django_peers", name, str(port), str(_BYTES), folder]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(command, cwd=root, text=True, **pipes) as process:

            def do(count: int) -> Round:
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write(f"{count}\n")
                process.stdin.flush()
                done = json.loads(process.stdout.readline())
                return Round(count, **{part: Watch(**figures) for part, figures in done.items()})

            yield do
            process.communicate()


@asynccontextmanager
async def _ours(database: str, port: int, track: bool) -> AsyncIterator[Callable[[int], Awaitable[Round]]]:
    """Open a host and an engine, which keeps its connections as a worker's does; gives what does a round."""
    html, text = body_of(_BYTES)
    settings = {
        "SMTP_SERVER": "127.0.0.1",
        "SMTP_PORT": port,
        "SMTP_TLS": "none",
        "SMTP_CONCURRENCY": LANES,
        "BASE_URL": "https://bench.test",
        "MAIL_DOMAIN": "bench.test",
    }
    kept: dict[str, Any] = {"text": text, "from_email": SENDER, "track": track}

    async def do(count: int) -> Round:
        with watch() as single:
            for number in range(count):
                await message.queue_email(None, [recipient(number)], "Café", html, **kept)
        asked = [
            QueueRequest(author=None, to=(recipient(number),), subject="Café", body=html, **kept)
            for number in range(count, count * 2)
        ]
        with watch() as bulk:
            await message.queue_many(asked)
        with watch() as sending:
            await engine.drain()
        left = await message.exclude(send_state="Sent").count()
        assert left == 0, f"{left} mails were not sent"
        return Round(count, single, bulk, sending)

    async with hosted(database, **settings), Engine() as engine:
        message = get_model("Message")
        yield do


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
