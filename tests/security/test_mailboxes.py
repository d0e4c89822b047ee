"""Mailboxes as an attacker meets them; each test names its row of the threat list (I16, I17, S6, S7)."""

from __future__ import annotations

import asyncio
import random
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from time import process_time
from typing import Any

import pytest

from core.errors import ConfigError, UserError
from core.runtime import Runtime, get_model
from core.transport.imap import ImapAccount, ImapError, open_mailbox
from core.transport.pop3 import Pop3Account, Pop3Error
from core.transport.pop3 import open_session as open_pop3
from core.transport.tls import Tls
from tests.databases import sqlite_alone as database_url

__all__ = ["database_url"]
pytestmark = pytest.mark.anyio
MEGABYTE = 1024 * 1024
LOGIN = {"username": "user", "password": "secret"}


def imap_at(port: int) -> ImapAccount:
    return ImapAccount(host="127.0.0.1", port=port, tls=Tls.NONE, username="user", password="secret")


@asynccontextmanager
async def flood(before: dict[bytes, bytes], endless: bytes) -> AsyncIterator[int]:
    """A server that answers each line by its first fitting word in `before`, and then sends the same for ever."""

    talks: set[asyncio.Task[Any]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        try:
            writer.write(before[b""])
            while line := await reader.readline():
                answer = next((text for word, text in before.items() if word and word in line), None)
                if answer is None:
                    while True:
                        writer.write(endless)
                        await writer.drain()
                writer.write(answer.replace(b"TAG", line.split()[0]))
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for one in talks:
            one.cancel()
        await asyncio.gather(*talks, return_exceptions=True)


_IMAP = {
    b"": b"* OK hello\r\n",
    b"CAPABILITY": b"* CAPABILITY IMAP4rev1\r\nTAG OK\r\n",
    b"LOGIN": b"TAG OK\r\n",
    b"SELECT": b"* OK [UIDVALIDITY 1]\r\nTAG OK\r\n",
    b"LOGOUT": b"TAG OK\r\n",
}
_ANNOUNCED = b"* 1 FETCH (UID 1 RFC822.SIZE 9000)\r\nTAG OK\r\n"


@pytest.mark.parametrize(
    ("more", "endless"),
    [
        ({}, b"* SEARCH 1 2 3 4 5 6 7 8 9" * 5000),
        ({}, b"* 1 EXISTS\r\n" * 5000),
        ({b"SEARCH": b"* SEARCH 1\r\nTAG OK\r\n", b"SIZE": _ANNOUNCED}, b"x" * 65536),
        ({b"SEARCH": b"* SEARCH 1\r\nTAG OK\r\n", b"SIZE": _ANNOUNCED}, b"* 1 FETCH (UID 1 BODY[] {9000000}\r\n" * 99),
        ({b"SEARCH": b"* SEARCH 1\r\nTAG OK\r\n", b"SIZE": _ANNOUNCED}, b"* 1 FETCH (" + b"(" * 65536),
    ],
    ids=["search", "news", "line", "literal", "parentheses"],
)
async def test_i16_an_endless_answer_ends_within_a_little_memory(more: dict[bytes, bytes], endless: bytes) -> None:
    async def fetch_all(port: int) -> None:
        async with open_mailbox(imap_at(port)) as mailbox, aclosing(mailbox.fetch(await mailbox.uids())) as items:
            assert [item async for item in items] == []

    async with flood({**_IMAP, **more}, endless) as port, asyncio.timeout(20):
        tracemalloc.start()
        try:
            with pytest.raises(ImapError):
                await fetch_all(port)
            peak_bytes = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak_bytes < 48 * MEGABYTE


@pytest.mark.parametrize("endless", [b"+OK" * 20_000, b"+OK\r\n" + b"1 1\r\n" * 20_000], ids=["line", "listing"])
async def test_i16_an_endless_answer_by_pop3_ends_too(endless: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.transport.pop3_session._LIST_BYTES", 4 * MEGABYTE)
    before = {b"": b"+OK\r\n", b"CAPA": b"-ERR\r\n", b"USER": b"+OK\r\n", b"PASS": b"+OK\r\n"}

    async def listing(port: int) -> None:
        account = Pop3Account(host="127.0.0.1", port=port, tls=Tls.NONE, username="user", password="secret")
        async with open_pop3(account) as session:
            await session.listing()

    async with flood(before, endless) as port, asyncio.timeout(20):
        with pytest.raises(Pop3Error):
            await listing(port)


@pytest.mark.parametrize("order", ["rising", "falling", "shuffled"])
async def test_i16_a_mailbox_of_a_million_mails_stalls_nothing(order: str) -> None:
    """A search that names them all is one line of 7 MB; what else the process does goes on meanwhile."""
    named = list(range(1, 1_000_001))
    if order == "falling":
        named.reverse()
    elif order == "shuffled":
        random.Random(16).shuffle(named)
    search = b"* SEARCH " + b" ".join(b"%d" % uid for uid in named) + b"\r\nTAG OK\r\n"
    longest_s = 0.0

    async def tick() -> None:
        """Measure what the process itself computes between two turns of the loop, whatever else the machine does."""
        nonlocal longest_s
        while True:
            at = process_time()
            await asyncio.sleep(0.005)
            longest_s = max(longest_s, process_time() - at)

    async with flood({**_IMAP, b"SEARCH": search}, b"") as port, open_mailbox(imap_at(port)) as mailbox:
        ticking = asyncio.create_task(tick())
        uids = await mailbox.uids()
        ticking.cancel()
    assert uids == tuple(range(1, 1_000_001))
    assert longest_s < 0.3


@pytest.mark.parametrize("evil", ["a\r\nA1 DELETE INBOX", "a\nb", "a\0b", "a\rb"])
@pytest.mark.parametrize("name", ["server", "username", "password", "folders", "move_to"])
async def test_i17_no_setting_of_a_mailbox_ends_a_line(host: Runtime, name: str, evil: str) -> None:
    values: dict[str, Any] = {"name": "Box", "server": "mail.test", "after_fetch": "move", "move_to": "Done", **LOGIN}
    with pytest.raises((ConfigError, UserError)):
        await get_model("IncomingMailServer").create(**{**values, name: [evil] if name == "folders" else evil})
    server = await get_model("IncomingMailServer").create(**values)
    setattr(server, name, [evil] if name == "folders" else evil)
    with pytest.raises((ConfigError, UserError)):
        await server.save()
