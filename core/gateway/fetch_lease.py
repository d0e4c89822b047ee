"""The right to visit a mailbox, or to wait in it: one worker has it, by the database's clock, and renews it meanwhile.

Losing it does no harm, since a mail's identity makes it one row however often it is fetched; only work is done twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from time import monotonic
from uuid import uuid4

import structlog

from core.orm.outage import database_errors
from core.runtime import runtime, settings

log = structlog.get_logger(__name__)

_BEATS_PER_LEASE = 4
VISIT_S = 60.0
"""A visit that lasts longer ends with the mails at hand, so that a slow mailbox does not hold up the next round."""


class Right(StrEnum):
    """What the lease is for."""

    VISIT = "lease"
    WATCH = "watch"


@dataclass(slots=True)
class Lease:
    """A lease that was taken; `is_held` is what is known of it at the last beat."""

    server_id: int
    token: str
    right: Right
    is_held: bool = True
    taken_at: float = field(default_factory=monotonic)

    @property
    def may_go_on(self) -> bool:
        """Whether a visit is still ours, and has not lasted too long."""
        return self.is_held and monotonic() - self.taken_at < VISIT_S

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Renew the lease during the block and give it back at its end."""
        beating = asyncio.create_task(self._beat())
        try:
            yield
        finally:
            # To its end also where we are stopped meanwhile, or the next worker waits for nothing.
            ending = asyncio.create_task(self._end(beating))
            try:
                await asyncio.shield(ending)
            except asyncio.CancelledError:
                await asyncio.wait({ending})
                raise

    async def _end(self, beating: asyncio.Task[None]) -> None:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
        await self._give_back()

    async def _beat(self) -> None:
        while self.is_held:
            await asyncio.sleep(settings().LEASE_SECONDS / _BEATS_PER_LEASE)
            try:
                self.is_held = await self.renew()
            except database_errors() as error:
                log.warning("mailbox lease not renewed", server_id=self.server_id, error=str(error))

    async def renew(self) -> bool:
        """Hold it for another LEASE_SECONDS; whether it is still ours."""
        dialect, right = runtime().database.dialect, self.right
        kept = await runtime().database.fetch(
            f"""UPDATE incoming_mail_server SET {right}_until = {dialect.now(settings().LEASE_SECONDS)}
                WHERE id = {dialect.param(2)} AND {right}_token = {dialect.param(1)} RETURNING id""",
            [self.token, self.server_id],
        )
        return bool(kept)

    async def _give_back(self) -> None:
        dialect, right = runtime().database.dialect, self.right
        try:
            await runtime().database.execute(
                f"""UPDATE incoming_mail_server SET {right}_token = NULL, {right}_until = NULL
                    WHERE id = {dialect.param(2)} AND {right}_token = {dialect.param(1)}""",
                [self.token, self.server_id],
            )
        except database_errors() as error:
            log.warning("mailbox lease not given back; it will run out", server_id=self.server_id, error=str(error))


async def take(server_id: int, right: Right, *, only_if_due: bool = False) -> Lease | None:
    """Take a lease by compare-and-set; None where somebody else has it.

    With `only_if_due` also None while the mailbox is left alone after a failure, and for a visit while a worker waits
    in it, which makes its own.
    """
    dialect = runtime().database.dialect
    token = uuid4().hex
    now = dialect.now()
    due = f"AND active AND (next_fetch_at IS NULL OR next_fetch_at <= {now})" if only_if_due else ""
    if only_if_due and right is Right.VISIT:
        due += f" AND (watch_until IS NULL OR watch_until < {now})"
    taken = await runtime().database.fetch(
        f"""UPDATE incoming_mail_server
            SET {right}_token = {dialect.param(1)}, {right}_until = {dialect.now(settings().LEASE_SECONDS)}
            WHERE id = {dialect.param(2)} AND ({right}_until IS NULL OR {right}_until < {now}) {due}
            RETURNING id""",
        [token, server_id],
    )
    return Lease(server_id, token, right) if taken else None
