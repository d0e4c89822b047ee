"""Calling an application without a socket, in the caller's own task and transaction; a live stream is left at once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

Message = MutableMapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    @property
    def words(self) -> str:
        """What it says to a person, for a test's message."""
        said = re.sub(r"<[^>]*>", " ", self.text.partition('<main id="content">')[2] or self.text)
        return " ".join(said.split())[:160]


async def ask(app: Any, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
    """Send one request and return its answer; of an event stream, its beginning."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path.partition("?")[0],
        "raw_path": quote(path.partition("?")[0]).encode(),
        "query_string": path.partition("?")[2].encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    told: list[Message] = []
    waiting = [{"type": "http.request", "body": body, "more_body": False}]
    over = asyncio.Event()

    async def receive() -> Message:
        if waiting:
            return waiting.pop()
        await over.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        told.append(message)
        is_start = message["type"] == "http.response.start"
        if is_start and dict(message["headers"]).get(b"content-type", b"").startswith(b"text/event-stream"):
            over.set()
        if message["type"] == "http.response.body" and not message.get("more_body"):
            over.set()

    await app(scope, receive, send)
    start = next(one for one in told if one["type"] == "http.response.start")
    found = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], found, b"".join(one.get("body", b"") for one in told[1:]))
