"""One watcher's stream of server-sent events (HTML standard, section 9.2): what waits for it, and how it is written.

It holds little and never more: whoever reads too slowly is told to read everything anew.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, NamedTuple

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from core.access import Access
from core.errors import PostroomError
from core.orm.feed import Entry
from core.web.live_topic import Topic
from core.web.session import Visit

_BEAT_S = 15.0
_LONGEST_S = 3600.0
"""A stream ends after so long, and its client comes back, with its rights looked at anew."""
_RETRY_MS = 2000
_MOST_WAITING = 100
_STUCK_S = 30.0
"""Who takes nothing for so long is given up."""
_SURE_S = 1.0
"""That somebody may see a record is believed for so long."""


class _Event(NamedTuple):
    """An event that waits. `topic` is None for `reset`; `entry_id` is given to the last one of an entry."""

    topic: Topic | None
    data: dict[str, Any]
    entry_id: int | None


class Stream:
    """What one watcher is to be told, in order."""

    def __init__(self, visit: Visit, access: Access, topics: Sequence[Topic]):
        self.visit = visit
        self.access = access
        self.topics = topics
        self.by_key = {key: topic for topic in topics for key in topic.keys(access.user_id)}
        self.position = 0
        """The newest entry that it was told of, or need not be."""
        self.is_ended = False
        self._events: deque[_Event] = deque()
        self._wake = asyncio.Event()
        self._sure_until: dict[Topic, float] = {}

    def offer(self, entry: Entry) -> None:
        """Take what of an entry is for this watcher; an entry that it knows changes nothing."""
        if entry.id <= self.position or self.is_ended:
            return
        self.position = entry.id
        told = [(topic, change) for change in entry.changes if (topic := self.by_key.get(change.topic))]
        mine = [(topic, change) for topic, change in told if topic.concerns(change, self.access)]
        if len(self._events) + len(mine) > _MOST_WAITING:
            self.start_anew(entry.id)
            return
        for number, (topic, change) in enumerate(mine, 1):
            # A watcher that is lost within an entry gets all of it again.
            entry_id = entry.id if number == len(mine) else None
            self._events.append(_Event(topic, topic.told(change, self.access), entry_id))
        if mine:
            self._wake.set()

    def start_anew(self, position: int) -> None:
        """Tell the watcher that it may have missed anything, and go on from a position."""
        self.position = position
        self._events.clear()
        self._events.append(_Event(None, {}, position))
        self._wake.set()

    def end(self) -> None:
        """End the stream as soon as it can."""
        self.is_ended = True
        self._wake.set()

    async def chunks(self, position: Callable[[], int], beat_s: float = _BEAT_S) -> AsyncIterator[bytes]:
        """Yield what to write, at least a comment every `beat_s`; `position` gives the newest entry that every stream
        was offered.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + _LONGEST_S
        yield f"retry: {_RETRY_MS}\nid: {self.position}\n\n".encode()
        while not self.is_ended and loop.time() < until:
            try:
                await asyncio.wait_for(self._wake.wait(), beat_s)
            except TimeoutError:
                # An id alone is no event, and is remembered.
                self.position = self.position if self._events else max(self.position, position())
                yield f": still here\nid: {self.position}\n\n".encode()
            self._wake.clear()
            while self._events and not self.is_ended:
                event = self._events.popleft()
                if not await self._may_be_told(event.topic):
                    return
                yield _written(event)

    async def _may_be_told(self, topic: Topic | None) -> bool:
        """Look whether a record may still be seen; rights on whole models are watched by the hub."""
        now = asyncio.get_running_loop().time()
        if topic is None or topic.record_id is None or self._sure_until.get(topic, 0) > now:
            return True
        try:
            await topic.require(self.access)
        except PostroomError:
            return False
        self._sure_until[topic] = now + _SURE_S
        return True


def _written(event: _Event) -> bytes:
    name = event.topic.event if event.topic else "reset"
    data = json.dumps(event.data, separators=(",", ":"))
    at = f"id: {event.entry_id}\n" if event.entry_id is not None else ""
    return f"event: {name}\n{at}data: {data}\n\n".encode()


class EventStream(Response):
    """The answer that a stream is written into, until either side has enough of it."""

    media_type = "text/event-stream"

    def __init__(self, stream: Stream, position: Callable[[], int], leave: Callable[[Stream], None]):
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._stream = stream
        self._position = position
        self._leave = leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone = asyncio.create_task(self._end_when_gone(receive))
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for chunk in self._stream.chunks(self._position):
                async with asyncio.timeout(_STUCK_S):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except TimeoutError:
            return
        finally:
            self._leave(self._stream)
            gone.cancel()

    async def _end_when_gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._stream.end()
