from __future__ import annotations

import asyncio
import time

import pytest

from core.orm.bell import Bell
from tests.orm.opened import opened
from tests.servers.postgres import Postgres

pytestmark = pytest.mark.anyio


async def test_a_ring_wakes_at_once_and_only_its_topic(database_url: str) -> None:
    async with opened(database_url) as database, Bell(database) as bell:
        waiting = asyncio.create_task(bell.wait("cron", 10))
        await bell.ring("queue")
        assert await bell.wait("cron", 0.02) is False
        await bell.ring("cron")
        async with asyncio.timeout(5):
            assert await waiting is True


async def test_a_wait_ends_with_what_comes_first(database_url: str) -> None:
    async with opened(database_url) as database, Bell(database) as bell, asyncio.timeout(5):
        stop = asyncio.Event()
        await bell.wait_until(stop, "queue", 0.01)
        work = asyncio.create_task(asyncio.sleep(0.01))
        await bell.wait_until(stop, "queue", 10, {work})
        assert work.done()
        await bell.ring("queue")
        await bell.wait_until(stop, "queue", 10)
        stop.set()
        await bell.wait_until(stop, "mail", 10)


async def test_a_ring_reaches_the_other_processes(postgres_url: str) -> None:
    async with opened(postgres_url) as database, Bell(database) as here, Bell(database) as there:
        assert await there.wait("cron", 0.01) is False
        await here.ring("cron")
        begun_at = time.monotonic()
        assert await there.wait("cron", 10) is True
        assert time.monotonic() - begun_at < 5


async def test_many_waiters_share_one_connection(postgres_url: str) -> None:
    async with opened(postgres_url) as database, Bell(database) as bell:
        await asyncio.gather(*(bell.wait(topic, 0.02) for topic in ("cron", "queue", "spool")))
        name = postgres_url.rpartition("/")[2]
        [row] = await database.fetch(
            "SELECT count(*) AS listeners FROM pg_stat_activity WHERE datname = $1 AND query LIKE 'LISTEN%'", [name]
        )
        assert row["listeners"] == 1


async def test_a_waiter_that_is_cancelled_while_connecting_leaves_nothing(postgres_url: str) -> None:
    async with opened(postgres_url) as database, Bell(database) as bell:
        for steps in range(10):
            waiting = asyncio.create_task(bell.wait("cron", 10))
            for _ in range(steps):
                await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        await bell.ring("cron")
        assert await bell.wait("cron", 5) is True


async def test_a_ring_that_does_not_get_through_is_not_the_ringers_fault(postgres: Postgres) -> None:
    async with opened(postgres.create_database()) as database, Bell(database) as bell:
        postgres.execute(f"ALTER DATABASE {database.url.rpartition('/')[2]} ALLOW_CONNECTIONS false")
        postgres.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = "
            f"'{database.url.rpartition('/')[2]}'"
        )
        await bell.ring("cron")
        assert await bell.wait("cron", 5) is True
