"""Waiting in mailboxes: what comes is here within a second, by one connection, whatever ends it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import pytest

from core.gateway import fetch_watch
from core.gateway.fetch import fetch_all, fetch_server
from core.gateway.fetch_watch import watch_mailboxes
from core.runtime import Runtime, get_model
from core.transport import imap_mailbox
from tests.gateway.conftest import change_settings, mail
from tests.gateway.mailboxes import make_server, spooled, unseen, until
from tests.servers.dovecot import Dovecot

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings() -> dict[str, object]:
    return {"MAIL_MODE": "live", "MAIL_DOMAIN": "our.test", "CRON_POLL_SECONDS": 0.1, "LEASE_SECONDS": 2}


@pytest.fixture
async def server(host: Runtime, dovecot: Dovecot, user: str) -> Any:
    return await make_server(dovecot, user)


@asynccontextmanager
async def watching(workers: int = 1) -> AsyncIterator[asyncio.Event]:
    """Run the watch of some workers in the block; at its end each must stop at once, and give its leases back."""
    stop = asyncio.Event()
    running = [asyncio.create_task(watch_mailboxes(stop)) for _ in range(workers)]
    try:
        yield stop
        assert not any(one.done() for one in running)
    finally:
        stop.set()
        async with asyncio.timeout(3):
            await asyncio.gather(*running)
    leases = await get_model("IncomingMailServer").all().values_list("watch_until", "lease_until")
    assert set(leases) <= {(None, None)}


async def is_waited_in() -> bool:
    return bool(
        await get_model("IncomingMailServer").exists(watch_token__not_isnull=True, last_success_at__not_isnull=True)
    )


async def test_what_comes_is_here_within_a_second(dovecot: Dovecot, server: Any, user: str) -> None:
    async with watching():
        await until(is_waited_in, "the watch")
        took_s = []
        for number in (1, 2, 3):
            await asyncio.to_thread(dovecot.deliver, user, mail(str(number)))
            came_at = monotonic()

            async def is_here(number: int = number) -> bool:
                return len(await spooled()) == number

            await until(is_here, f"mail {number}")
            took_s.append(monotonic() - came_at)
        # On a machine that is busy with other things, once is enough.
        assert min(took_s) < 1
        await server.refresh_from_db()
        assert server.state == "instant"
        assert (await fetch_all())[0].skipped, "the cron job passes by"

        async def may_ask() -> bool:
            return not (await fetch_server(server)).skipped

        await until(may_ask, "the visit that a person asked for")


async def test_one_worker_holds_a_mailbox_and_another_takes_over(dovecot: Dovecot, server: Any, user: str) -> None:
    first_stop, second_stop = asyncio.Event(), asyncio.Event()
    first = asyncio.create_task(watch_mailboxes(first_stop))
    await until(is_waited_in, "a watch")
    second = asyncio.create_task(watch_mailboxes(second_stop))
    await asyncio.sleep(0.05)
    assert await asyncio.to_thread(dovecot.sessions, user) == 1
    first_stop.set()
    await first
    await asyncio.to_thread(dovecot.deliver, user, mail("later"))
    await until(spooled, "the mail")
    second_stop.set()
    await second


async def test_a_session_that_the_server_ends_begins_again(
    dovecot: Dovecot, server: Any, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch_watch, "_STEADY_AFTER_S", 0)
    monkeypatch.setattr(fetch_watch, "_STAGGER_S", 0)
    async with watching():
        await until(is_waited_in, "the watch")
        await asyncio.to_thread(dovecot.kick, user)
        await asyncio.to_thread(dovecot.deliver, user, mail("after the kick"))
        await until(spooled, "the mail")
        await server.refresh_from_db()
        assert server.failure_count == 0


async def test_a_session_that_ends_at_once_is_a_failure_with_a_pause(dovecot: Dovecot, server: Any, user: str) -> None:
    async with watching():
        await until(is_waited_in, "the watch")
        await asyncio.to_thread(dovecot.kick, user)

        async def has_failed() -> bool:
            await server.refresh_from_db()
            return bool(server.failure_count)

        await until(has_failed, "the failure")
        assert server.next_fetch_at is not None
        assert server.last_hint


async def test_without_idle_the_mailbox_is_asked(
    dovecot: Dovecot, server: Any, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imap_mailbox, "POLL_EVERY_S", 0.05)
    monkeypatch.setattr(imap_mailbox.ImapSession, "has_idle", False)
    async with watching():
        await until(is_waited_in, "the watch")
        await asyncio.to_thread(dovecot.deliver, user, mail("asked for"))
        await until(spooled, "the mail")


async def test_other_folders_are_looked_at_now_and_then(
    dovecot: Dovecot, host: Runtime, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch_watch, "LOOK_EVERY_S", 0.2)
    dovecot.create_folder(user, "Second")
    await make_server(dovecot, user, folders=["INBOX", "Second"])
    async with watching():
        await until(is_waited_in, "the watch")
        await asyncio.to_thread(dovecot.deliver, user, mail("filed"))
        await until(spooled, "the mail")
        await asyncio.to_thread(dovecot.copy_all, user, "Second")

        async def are_two() -> bool:
            return len(await spooled()) == 2

        await until(are_two, "its copy")


async def test_a_changed_record_counts_at_once(dovecot: Dovecot, server: Any, user: str) -> None:
    async with watching():
        await until(is_waited_in, "the watch")
        server.after_fetch = "keep"
        await server.save()
        await asyncio.sleep(0.05)
        await until(is_waited_in, "the new watch")
        await asyncio.to_thread(dovecot.deliver, user, mail("kept"))
        await until(spooled, "the mail")
        assert await asyncio.to_thread(unseen, dovecot, user) == 1
        server.active = False
        await server.save()

        async def is_left() -> bool:
            return not await is_waited_in()

        await until(is_left, "the end of the watch")


async def test_nothing_is_waited_in_where_nothing_is_to_be_fetched(
    dovecot: Dovecot, server: Any, user: str, host: Runtime
) -> None:
    change_settings(host, MAIL_MODE="catch")
    async with watching():
        await asyncio.sleep(0.05)
        assert not await is_waited_in()
    change_settings(host, MAIL_MODE="live")
    server.instant = False
    await server.save()
    async with watching():
        await asyncio.sleep(0.05)
        assert not await is_waited_in()
