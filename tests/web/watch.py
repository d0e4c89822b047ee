"""A client of `/api/live`: it reads server-sent events as the HTML standard has them (section 9.2.6)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2


@dataclass(frozen=True, slots=True)
class Heard:
    """One event, and the id that the client would come back with after it."""

    name: str
    data: dict[str, Any]
    last_id: str


class Watch:
    """An open stream."""

    def __init__(self, answer: httpx2.Response):
        self.answer = answer
        self.last_id = ""
        self._lines = answer.aiter_lines()

    async def event(self, timeout_s: float = 5) -> Heard:
        """Return the next event; TimeoutError where none comes, EOFError where the stream has ended."""
        async with asyncio.timeout(timeout_s):
            name, data = "", ""
            async for line in self._lines:
                field, _, value = line.partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    data = value
                elif field == "id":
                    self.last_id = value
                elif not line and data:
                    return Heard(name, json.loads(data), self.last_id)
            raise EOFError("the stream has ended")

    async def told(self, name: str, state: str | None = None) -> Heard:
        """Return the next event of that name, and with that state; what comes before it is passed over."""
        while True:
            heard = await self.event()
            if heard.name == name and (state is None or state in heard.data["states"]):
                return heard

    async def ended(self, timeout_s: float = 8) -> bool:
        """Return once the stream has ended, whatever comes before."""
        async with asyncio.timeout(timeout_s):
            async for _ in self._lines:
                pass
        return True


@asynccontextmanager
async def watching(client: httpx2.AsyncClient, topics: str, **options: Any) -> AsyncIterator[Watch]:
    """Open a stream that is under way: its first lines have come."""
    params = {"topics": topics, **options.pop("params", {})}
    async with client.stream("GET", "/api/live", params=params, timeout=30, **options) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        watch = Watch(answer)
        async with asyncio.timeout(5):
            async for line in watch._lines:
                if line.startswith("id: "):
                    watch.last_id = line.removeprefix("id: ")
                    break
        yield watch
