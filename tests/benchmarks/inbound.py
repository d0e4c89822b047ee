"""From a Dovecot mailbox through the spool and the rules to a record, beside fetching and parsing alone."""

from __future__ import annotations

import asyncio
import gc
from base64 import encodebytes
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

from core.gateway.fetch import account_of, fetch_server
from core.gateway.intake import TOPIC, deal_with_what_comes
from core.mail.parse import parse
from core.runtime import get_model, runtime
from core.transport.imap import FetchedMail, open_mailbox
from tests.benchmarks.hosts import DATABASES, hosted
from tests.benchmarks.mails import html_of
from tests.benchmarks.measure import Row, Watch, forget_peak, memory_mb, move_away, watch
from tests.servers.dovecot import PASSWORD, Dovecot

_ADDONS = str(Path(__file__).resolve().parents[1] / "gateway" / "addons")
_LOOK_EVERY_S = 0.1
_LONGEST_S = 300.0
ADDON_SETTINGS = {"ADDONS": ["core", "desk"], "ADDONS_PATH": [_ADDONS], "MAIL_DOMAIN": "our.test"}


async def benchmark(quick: bool) -> AsyncIterator[Row]:
    count = 200 if quick else 10_000
    with Dovecot() as dovecot:
        assert dovecot.process is not None
        move_away(dovecot.process.pid)
        for database in DATABASES:
            user = f"{database}@mail.test"
            dovecot.add_user(user)
            dovecot.deliver(user, *map(_mail, range(count)))
            async with hosted(database, **ADDON_SETTINGS):
                server = await _server(dovecot, user)
                await get_model("EmailRoute").create(address="leads", target_model="Ticket")
                bare = await _bare(server, count)
                gc.collect()
                forget_peak()
                idle_mb = memory_mb()
                whole = await _whole(server, count)
                peak_mb = memory_mb("VmHWM")
            bare_us, whole_us = bare.cpu_us(count), whole.cpu_us(count)
            yield Row(f"fetch and parse alone, {database}", bare_us, "CPU us/mail")
            yield Row(f"mailbox to record, {database}", whole.per_s(count), "mails/s", ">= 2000/s")
            yield Row(f"mailbox to record, {database}", whole_us, "CPU us/mail", "<= 6 x alone", whole_us / bare_us)
            yield Row(f"mailbox to record, {database}", peak_mb - idle_mb, "MB over idle", "<= 64")


async def _server(dovecot: Dovecot, user: str) -> Any:
    return await get_model("IncomingMailServer").create(
        name=user, server="127.0.0.1", port=dovecot.port, use_ssl=False, username=user, password=PASSWORD
    )


async def _bare(server: Any, count: int) -> Watch:
    parsed = 0
    with watch() as taken:
        async with open_mailbox(account_of(server)) as mailbox:
            async for item in mailbox.fetch(await mailbox.unseen_uids(), max_mail_bytes=10**7):
                assert isinstance(item, FetchedMail)
                parse(item.raw)
                parsed += 1
    assert parsed == count
    return taken


async def _whole(server: Any, count: int) -> Watch:
    """Fetch, and deal with what was fetched meanwhile, as a worker does."""
    stop, goes_on = asyncio.Event(), True
    tickets = get_model("Ticket").all()
    with watch() as taken:
        async with asyncio.timeout(_LONGEST_S), asyncio.TaskGroup() as group:
            group.create_task(deal_with_what_comes(stop))
            while goes_on:
                goes_on = (await fetch_server(server)).more
                await runtime().bell.ring(TOPIC)
            while await tickets.count() < count:
                await asyncio.sleep(_LOOK_EVERY_S)
            stop.set()
    assert await tickets.count() == count
    return taken


def _mail(number: int) -> bytes:
    """Return one of the mix: in ten, four plain, four with HTML, one with 100 kB attached, one with a mail attached."""
    kind = ("plain", "html", "plain", "html", "plain", "html", "plain", "html", "file", "mail")[number % 10]
    head = (
        f"From: Ada Byron <ada{number}@customer.test>\r\nTo: leads@our.test\r\nSubject: Request {number}\r\n"
        f"Date: Mon, 2 Jun 2025 09:00:00 +0000\r\nMessage-ID: <{number}@customer.test>\r\nMIME-Version: 1.0\r\n"
    )
    text = "Content-Type: text/plain; charset=utf-8\r\n\r\n" + f"We would like an offer, no. {number}.\r\n" * 40
    if kind == "plain":
        return (head + text).encode()
    if kind == "html":
        html = "Content-Type: text/html; charset=utf-8\r\n\r\n" + html_of(12_000).replace("\n", "\r\n")
        return (head + _multipart("alternative", text, html)).encode()
    data = Random(number).randbytes(75_000)
    attached = encodebytes(data).decode().replace("\n", "\r\n")
    file = f'Content-Type: application/pdf\r\nContent-Disposition: attachment; filename="{number}.pdf"\r\n'
    file += f"Content-Transfer-Encoding: base64\r\n\r\n{attached}"
    if kind == "file":
        return (head + _multipart("mixed", text, file)).encode()
    return (head + _multipart("mixed", text, f"Content-Type: message/rfc822\r\n\r\n{head}{text}")).encode()


def _multipart(kind: str, *parts: str) -> str:
    body = "".join(f"--limit\r\n{part}\r\n" for part in parts)
    return f'Content-Type: multipart/{kind}; boundary="limit"\r\n\r\n{body}--limit--\r\n'
