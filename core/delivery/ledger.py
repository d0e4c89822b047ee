"""The one writer of an engine: marks and results of all lanes, many to a commit.

A lane waits for its mark before it sends content, and the result of its previous mail travels in that same commit. So
what a kill leaves in doubt is at most one mail per lane (C2, C4), and the database sees one transaction where there
would be two per mail. While the database is away the ledger keeps the results and tries again, and since no mark
returns meanwhile, nothing more is sent (F31). The same holds where the writing itself is at fault, and is said aloud.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Collection, Sequence
from time import monotonic

import structlog
from tortoise.exceptions import IntegrityError

from core.delivery.job import Job
from core.delivery.results import Result, Written, still_there, tell_finished, write_results
from core.orm.outage import database_errors, is_outage

log = structlog.get_logger(__name__)

_TURNS = 4
"""So many turns of the event loop take a lane from its mark to an answer that is there at once."""
_LASTING_S = 1.0
_LONGEST_RETRY_S = 5.0
_LONGEST_TELLING_S = 20.0


class Ledger:
    """Collects marks and results, and commits them together."""

    def __init__(self, worker: str):
        self.worker = worker
        self.recorded_at = float("-inf")
        """When a result last came in, by the monotonic clock."""
        self._results: list[Result] = []
        self._marks: list[tuple[Job, asyncio.Future[bool]]] = []
        self._out: dict[int, tuple[float, int]] = {}
        """When each delivery was marked that no result has come for, and its message."""
        self._lasting: set[int] = set()
        """Messages to be shown as on their way with the next commit."""
        self._clock: asyncio.TimerHandle | None = None
        self._finished: list[tuple[int, str]] = []
        self._taken = 0
        self._stored = 0
        """How many results came in, and how many of them are stored."""
        self._awaited: deque[tuple[int, asyncio.Future[None]]] = deque()
        """Who waits until so many are stored."""
        self._writer: asyncio.Task[None] | None = None
        self._teller: asyncio.Task[None] | None = None

    def begin(self, job: Job) -> asyncio.Future[bool]:
        """Have a mail marked that is about to be sent; False, once that is committed, where it must not be sent."""
        marked: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._marks.append((job, marked))
        self._wake()
        return marked

    def record(self, results: Sequence[Result]) -> None:
        """Take results; they are stored with the next commit, which follows at once where no lane waits."""
        self.recorded_at = monotonic()
        self._taken += len(results)
        self._results += results
        for result in results:
            self._out.pop(result.delivery.id, None)
        self._wake()

    async def flush(self) -> None:
        """Return when all results taken so far are stored."""
        if self._stored < self._taken:
            stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._awaited.append((self._taken, stored))
            await stored

    async def aclose(self, grace_s: float = 30.0) -> None:
        """Return when everything is stored and told, or when the database was away for `grace_s` more seconds.

        Results that are lost then are those of deliveries marked as begun; a sweep finds them, and says "unknown".
        """
        if self._writer is not None and (await asyncio.wait({self._writer}, timeout=grace_s))[1]:
            log.error("results not stored", worker=self.worker)
            self._writer.cancel()
        if self._clock is not None:
            self._clock.cancel()
        ending = [task for task in (self._writer, self._teller) if task is not None]
        await asyncio.gather(*ending, return_exceptions=True)

    def _wake(self) -> None:
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())

    async def _write(self) -> None:
        while self._results or self._marks or self._lasting:
            await self._gathered()
            results, self._results = self._results, []
            marks, self._marks = self._marks, []
            lasting, self._lasting = self._lasting, set()
            written = await self._commit(results, [job for job, _ in marks], lasting)
            now = monotonic()
            for job, marked in marks:
                is_ours = written.marked.issuperset([delivery.id for delivery in job.deliveries])
                if is_ours:
                    self._out |= {delivery.id: (now, delivery.message_id) for delivery in job.deliveries}
                if not marked.done():
                    marked.set_result(is_ours)
            if self._out and self._clock is None:
                self._clock = asyncio.get_running_loop().call_later(_LASTING_S, self._look)
            self._stored += len(results)
            while self._awaited and self._awaited[0][0] <= self._stored:
                stored = self._awaited.popleft()[1]
                if not stored.done():
                    stored.set_result(None)
            self._tell(written.finished)

    async def _gathered(self) -> None:
        """Return when lanes whose answers are there, or are about to come, had their turn, so that they share a commit.

        That is a few turns of the loop while some are out, and as many again whenever one of them came back.
        """
        await asyncio.sleep(0)
        turns, came = 0, len(self._marks)
        while self._out and turns < _TURNS:
            await asyncio.sleep(0)
            turns = turns + 1 if came == len(self._marks) else 0
            came = len(self._marks)

    def _look(self) -> None:
        """Let people see what has been on its way for a while; what takes less is sent before anybody could look."""
        until = monotonic() - _LASTING_S
        for delivery_id in [key for key, (marked_at, _) in self._out.items() if marked_at <= until]:
            self._lasting.add(self._out.pop(delivery_id)[1])
        self._clock = asyncio.get_running_loop().call_later(_LASTING_S, self._look) if self._out else None
        if self._lasting:
            self._wake()

    async def _commit(self, results: Sequence[Result], jobs: Sequence[Job], lasting: Collection[int]) -> Written:
        """Store until it is stored."""
        wait_s, is_any_gone = 0.1, False
        while True:
            try:
                if is_any_gone:
                    results = await still_there(results)
                return await write_results(results, worker=self.worker, begun=jobs, lasting=lasting)
            except Exception as error:  # What a server has answered must outlive whatever the writing stumbles over.
                if isinstance(error, IntegrityError) and not is_any_gone:
                    # A message was deleted while it was on its way; the rest is stored.
                    is_any_gone = True
                    continue
                self._complain(error, len(results))
                is_any_gone = isinstance(error, IntegrityError)
            await asyncio.sleep(wait_s * (0.5 + random.random()))  # noqa: S311 - jitter
            wait_s = min(wait_s * 2, _LONGEST_RETRY_S)

    def _complain(self, error: Exception, waiting: int) -> None:
        about = {"worker": self.worker, "waiting_results": waiting, "error": str(error)}
        if is_outage(error):
            log.warning("database away", **about)
        else:
            log.error("results cannot be stored; nothing is sent until this is mended", exc_info=error, **about)

    # Events are told beside the writing: an addon that takes its time keeps no lane waiting.

    def _tell(self, finished: Sequence[tuple[int, str]]) -> None:
        self._finished += finished
        if self._finished and (self._teller is None or self._teller.done()):
            self._teller = asyncio.create_task(self._tell_all())

    async def _tell_all(self) -> None:
        while self._finished:
            finished, self._finished = self._finished, []
            try:
                async with asyncio.timeout(_LONGEST_TELLING_S):
                    await tell_finished(finished)
            except database_errors(TimeoutError, asyncio.CancelledError) as error:
                log.warning("events not told", messages=[message_id for message_id, _ in finished], error=repr(error))
