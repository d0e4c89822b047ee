"""The open connections to one SMTP server: lent one at a time, used again, closed when worn, idle or broken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from core.transport.smtp_account import SmtpAccount
from core.transport.smtp_open import open_session
from core.transport.smtp_session import SmtpSession


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    """How many connections one server sees from us, and how long each is kept."""

    connections: int = 4
    messages_per_connection: int = 100
    idle_s: float = 30
    fresh_s: float = 1
    """A connection used this recently is lent again without asking the server whether it is still there."""


class SmtpPool:
    """Lends sessions of one account; waits while all its connections are out."""

    def __init__(self, account: SmtpAccount, limits: PoolLimits = PoolLimits()):
        self.account = account
        self.limits = limits
        self._free = asyncio.Semaphore(limits.connections)
        self._idle: dict[SmtpSession, asyncio.TimerHandle] = {}
        self._goodbyes: set[asyncio.Task[None]] = set()
        self._is_closed = False

    @asynccontextmanager
    async def session(self) -> AsyncIterator[SmtpSession]:
        """Lend a session, the one used last if any is idle; raises SmtpError if a new one cannot be opened."""
        async with self._free:
            session = await self._reuse() or await open_session(self.account)
            try:
                yield session
            finally:
                if self._is_worn(session):
                    await session.quit()
                else:
                    self._idle[session] = asyncio.get_running_loop().call_later(
                        self.limits.idle_s, self._retire, session
                    )

    async def aclose(self) -> None:
        """Close the idle connections now, and those still lent when they come back."""
        self._is_closed = True
        for session in tuple(self._idle):
            self._retire(session)
        while self._goodbyes:
            await asyncio.wait(self._goodbyes)

    async def __aenter__(self) -> SmtpPool:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _reuse(self) -> SmtpSession | None:
        while self._idle:
            session, timer = self._idle.popitem()
            timer.cancel()
            idle_s = self.limits.idle_s - (timer.when() - asyncio.get_running_loop().time())
            if session.is_usable and (idle_s < self.limits.fresh_s or await session.noop()):
                return session
            session.close()
        return None

    def _is_worn(self, session: SmtpSession) -> bool:
        is_full = session.messages >= self.limits.messages_per_connection
        return self._is_closed or is_full or not session.is_usable

    def _retire(self, session: SmtpSession) -> None:
        self._idle.pop(session).cancel()
        goodbye = asyncio.create_task(session.quit())
        self._goodbyes.add(goodbye)
        goodbye.add_done_callback(self._goodbyes.discard)
