"""An HTTP service of our own that misbehaves on request: each request is answered by the next planned answer."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came."""

    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode()))


@dataclass(frozen=True, slots=True)
class Answer:
    """What follows a request: an answer, late or dripped, or a closed connection."""

    status: int = 200
    body: bytes = b""
    headers: tuple[str, ...] = ()
    after_s: float = 0
    drip_s: float = 0
    drops: bool = False
    """Close instead of answering, after the whole body was read."""


@dataclass(slots=True)
class HttpProvider:
    """Keeps what was asked; `make` answers when no answer is planned."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    planned: deque[Answer] = field(default_factory=deque)
    make: Callable[[Asked], Answer] | None = None
    connections: int = 0
    _came: asyncio.Event = field(default_factory=asyncio.Event)

    def plan(self, *answers: Answer) -> None:
        self.planned.extend(answers)

    async def until(self, count: int) -> None:
        """Return when so many requests have come."""
        while len(self.asked) < count:
            self._came.clear()
            await self._came.wait()

    def _answer(self, asked: Asked) -> Answer:
        if self.planned:
            return self.planned.popleft()
        if self.make is not None:
            return self.make(asked)
        return Answer(body=json.dumps({"id": f"r{len(self.asked)}"}).encode())

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while await self._one(reader, writer):
                    pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        asked = Asked(head[0].split(" ")[1], headers, body)
        self.asked.append(asked)
        self._came.set()
        answer = self._answer(asked)
        await asyncio.sleep(answer.after_s)
        if answer.drops:
            return False
        lines = [f"HTTP/1.1 {answer.status} Said", f"Content-Length: {len(answer.body)}", *answer.headers]
        raw = "\r\n".join([*lines, "", ""]).encode() + answer.body
        if not answer.drip_s:
            writer.write(raw)
            await writer.drain()
            return True
        for at in range(len(raw)):
            writer.write(raw[at : at + 1])
            await writer.drain()
            await asyncio.sleep(answer.drip_s)
        return True


@asynccontextmanager
async def http_provider() -> AsyncIterator[HttpProvider]:
    """Serve on a free port of this machine."""
    provider = HttpProvider()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(provider.serve(reader, writer))
        tasks.add(task)
        with suppress(asyncio.CancelledError):
            await task

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    provider.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/send"
    try:
        yield provider
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
