"""The hub of live pages: one reader of the feed in a process, which offers what it reads to every stream.

No stream holds a thread or a connection to the database. Whoever logs out, loses a token or a right is let go within
seconds: what rights are made of is compared now and then for all streams at once.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict

import structlog

from core.errors import PostroomError
from core.orm.feed import BELL, Entry
from core.orm.outage import database_errors
from core.runtime import runtime, settings
from core.web.errors import TooManyTries
from core.web.live_rights import Rights
from core.web.live_stream import Stream

log = structlog.get_logger(__name__)

_MOST_STREAMS = 2000
_READ_AT_ONCE = 500
_RIGHTS_EVERY_S = 2.0
_LOOK_EVERY_S = {"sqlite": 0.4, "postgres": 2.0}
"""SQLite has no bell between processes."""


class TooManyStreams(TooManyTries):
    """A user watches in as many places as one may."""

    code = "too_many_streams"

    def __init__(self, most: int):
        self.wait_s = 10.0
        PostroomError.__init__(self, f"One user may have {most} streams at once; end another one, or ask for less.")


class Hub:
    """All streams of one process."""

    def __init__(self) -> None:
        self.position = 0
        """The newest entry that every stream was offered."""
        self._streams: set[Stream] = set()
        self._by_key: dict[str, set[Stream]] = defaultdict(set)
        self._of_user: Counter[int] = Counter()
        self._joining = asyncio.Lock()
        self._somebody = asyncio.Event()
        self._closed = asyncio.Event()
        self._rights = Rights()
        self._rights_at = 0.0

    def __len__(self) -> int:
        return len(self._streams)

    async def run(self) -> None:
        """Read the feed while anybody watches, until the hub is closed."""
        try:
            while not self._closed.is_set():
                await self._somebody.wait()
                try:
                    await self._rest()
                    await self._read()
                    await self._look_at_rights()
                except database_errors() as error:
                    log.warning("live pages wait, since the database is away", streams=len(self), error=str(error))
                    await self._rest(pause_s=1.0)
        finally:
            self.close()

    def close(self) -> None:
        """End every stream, and take no more."""
        self._closed.set()
        self._somebody.set()
        for stream in self._streams:
            stream.end()

    async def join(self, stream: Stream, since: int | None) -> None:
        """Offer a stream what comes from now on, and before that what came since an entry that its client knows.

        Raises TooManyStreams where the user has as many as one may have.
        """
        user_id = stream.access.user_id
        if self._of_user[user_id] >= settings().LIVE_STREAMS_PER_USER or len(self) >= _MOST_STREAMS:
            raise TooManyStreams(settings().LIVE_STREAMS_PER_USER)
        self._of_user[user_id] += 1
        try:
            async with self._joining:
                if not self._streams:
                    self.position = max(self.position, await runtime().feed.position())
                await self._catch_up(stream, since)
        except BaseException:
            self._forget(user_id)
            raise
        self._streams.add(stream)
        for key in stream.by_key:
            self._by_key[key].add(stream)
        self._somebody.set()
        if self._closed.is_set():
            stream.end()

    def leave(self, stream: Stream) -> None:
        """Offer a stream nothing any more."""
        self._streams.discard(stream)
        for key in stream.by_key:
            self._by_key[key].discard(stream)
            if not self._by_key[key]:
                del self._by_key[key]
        self._forget(stream.access.user_id)
        if not self._streams and not self._closed.is_set():
            self._somebody.clear()

    def _forget(self, user_id: int) -> None:
        self._of_user[user_id] -= 1
        if not self._of_user[user_id]:
            del self._of_user[user_id]

    async def _catch_up(self, stream: Stream, since: int | None) -> None:
        """Bring a stream to where all others are; who was away for longer than entries are kept starts anew."""
        stream.position = self.position
        if since is None or since == self.position:
            return
        feed = runtime().feed
        newest = await feed.position()
        if since > newest or since < await feed.floor() - 1:
            stream.start_anew(newest)
            return
        stream.position = since
        while True:
            entries = await feed.since(stream.position, _READ_AT_ONCE)
            if len(entries) == _READ_AT_ONCE:
                stream.start_anew(max(newest, self.position))
                return
            for entry in entries:
                stream.offer(entry)
            # Nothing is awaited from here until the stream stands in its place.
            if stream.position >= self.position:
                return

    async def _rest(self, pause_s: float | None = None) -> None:
        """Wait for the bell, for as long as the database calls for, or for the end."""
        rest_s = pause_s or _LOOK_EVERY_S[runtime().database.dialect.name]
        await runtime().bell.wait_until(self._closed, BELL, rest_s)

    async def _look_at_rights(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._rights_at > _RIGHTS_EVERY_S:
            self._rights_at = now
            for stream in await self._rights.lost(self._streams):
                stream.end()

    async def _read(self) -> None:
        while self._streams:
            entries = await runtime().feed.since(self.position, _READ_AT_ONCE)
            for entry in entries:
                self._offer(entry)
                self.position = max(self.position, entry.id)
            if len(entries) < _READ_AT_ONCE:
                return

    def _offer(self, entry: Entry) -> None:
        concerned: set[Stream] = set()
        for change in entry.changes:
            concerned.update(self._by_key.get(change.topic, ()))
        for stream in concerned:
            stream.offer(entry)
