"""Waking whoever waits for work: at once in this process, and through NOTIFY in the others on PostgreSQL.

A bell only saves waiting. Whoever waits also looks by itself from time to time, so a lost ring loses nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from core.orm.database import Database
from core.orm.outage import database_errors

if TYPE_CHECKING:
    import asyncpg

_CHANNEL = "postroom"


class Bell:
    """Topics that can be rung, and waited for."""

    def __init__(self, database: Database):
        self._database = database
        self._events: dict[str, asyncio.Event] = {}
        self._listener: asyncpg.Connection[Any] | None = None
        self._connecting: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._connecting is not None:
            await self._connecting
        if self._listener is not None:
            await self._listener.close()
            self._listener = None

    async def ring(self, topic: str) -> None:
        """Wake everyone who waits for `topic`; call it after the commit of what there is to see.

        Other processes are not told while the database is away: what was committed before must not look failed.
        """
        self._event(topic).set()
        if self._database.dialect.name == "postgres":
            with contextlib.suppress(*database_errors()):
                await self._database.fetch("SELECT pg_notify($1, $2)", [_CHANNEL, topic])

    async def wait(self, topic: str, timeout_s: float) -> bool:
        """Wait for a ring, at most `timeout_s`; whether there was one. A ring while nobody waited counts."""
        await self._listen()
        event = self._event(topic)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), timeout_s)
        rung = event.is_set()
        event.clear()
        return rung

    async def wait_until(
        self, stop: asyncio.Event, topic: str, timeout_s: float, others: Iterable[asyncio.Future[Any]] = ()
    ) -> None:
        """Wait as `wait` does, and no longer than until `stop` is set or one of `others` is done."""
        own = (asyncio.create_task(self.wait(topic, timeout_s)), asyncio.create_task(stop.wait()))
        try:
            await asyncio.wait({*own, *others}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in own:
                one.cancel()
            await asyncio.gather(*own, return_exceptions=True)

    def _event(self, topic: str) -> asyncio.Event:
        return self._events.setdefault(topic, asyncio.Event())

    async def _listen(self) -> None:
        if self._database.dialect.name != "postgres":
            return
        if self._listener is None or self._listener.is_closed():
            # All who wait share one attempt, and none of them takes it along when it is cancelled.
            if self._connecting is None:
                self._connecting = asyncio.create_task(self._connect())
            await asyncio.shield(self._connecting)

    async def _connect(self) -> None:
        import asyncpg  # Only hosts on PostgreSQL have it.

        scheme = urlsplit(self._database.url).scheme
        try:
            listener = await asyncpg.connect(self._database.url.replace(f"{scheme}://", "postgres://", 1))
            await listener.add_listener(_CHANNEL, lambda *heard: self._event(str(heard[3])).set())
            self._listener = listener
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return  # The database is away; polling goes on, and the next wait tries again.
        finally:
            self._connecting = None
