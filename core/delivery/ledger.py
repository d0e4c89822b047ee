"""The one writer of an engine: marks and results of all lanes, many to a commit.

A lane waits for its mark before it sends content, and the result of its previous mail travels in that same commit. So
what a kill leaves in doubt is at most one mail per lane (C2, C4), and the database sees one transaction where there
would be two per mail. While the database is away the ledger keeps the results and tries again, and since no mark
returns meanwhile, nothing more is sent (F31).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import structlog
from tortoise.exceptions import BaseORMException

from core.delivery.job import Job
from core.delivery.results import Result, write_results
from core.orm.outage import outage_errors

log = structlog.get_logger(__name__)

_LONGEST_RETRY_S = 5.0


class Ledger:
    """Collects marks and results, and commits them together."""

    def __init__(self, worker: str):
        self.worker = worker
        self._results: list[Result] = []
        self._marks: list[tuple[Job, asyncio.Future[bool]]] = []
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._writer: asyncio.Task[None] | None = None

    async def begin(self, job: Job) -> bool:
        """Commit the mark of a mail that is about to be sent; False where its lease was lost and it must not be."""
        marked: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._marks.append((job, marked))
        self._wake()
        return await marked

    def record(self, results: Sequence[Result]) -> None:
        """Take results; they are stored with the next commit, which follows at once where no lane waits."""
        self._results += results
        self._wake()

    async def flush(self) -> None:
        """Return when everything taken so far is stored."""
        await self._idle.wait()

    def _wake(self) -> None:
        self._idle.clear()
        self._work.set()
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())

    async def _write(self) -> None:
        while self._results or self._marks:
            # Lanes whose replies arrived together get their turn first, so that they share a commit.
            await asyncio.sleep(0)
            results, self._results = self._results, []
            marks, self._marks = self._marks, []
            ours = await self._commit(results, [job for job, _ in marks])
            for job, marked in marks:
                if not marked.done():
                    marked.set_result(ours.issuperset(delivery.id for delivery in job.deliveries))
        self._work.clear()
        self._idle.set()

    async def _commit(self, results: Sequence[Result], jobs: Sequence[Job]) -> set[int]:
        """Store until it is stored; return the deliveries that are marked."""
        wait_s = 0.1
        unstored: tuple[type[Exception], ...] = (BaseORMException, *outage_errors())
        while True:
            try:
                return await write_results(results, worker=self.worker, begun=jobs)
            except unstored as error:
                log.warning("database away", worker=self.worker, waiting_results=len(results), error=str(error))
                await asyncio.sleep(wait_s * (0.5 + random.random()))  # noqa: S311 - jitter
                wait_s = min(wait_s * 2, _LONGEST_RETRY_S)
