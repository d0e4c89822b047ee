"""So many clients of `/api/live` in a process of their own: `python -m tests.benchmarks.watchers PORT TOKEN COUNT`.

It says `ready` once all streams are under way, and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import sys

_TOPICS = "queue,cron,inbound,notifications"


async def _watch(port: int, token: str, count: int) -> None:
    head = f"GET /api/live?topics={_TOPICS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    connections = []
    for _ in range(count):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head)
        connections.append((reader, writer))
    for reader, _ in connections:
        assert b" 200 " in await reader.readline()
        await reader.readuntil(b"id: ")
    print("ready", flush=True)
    reading = [asyncio.create_task(_read_on(reader)) for reader, _ in connections]
    await asyncio.to_thread(sys.stdin.read)
    for task in reading:
        task.cancel()


async def _read_on(reader: asyncio.StreamReader) -> None:
    while await reader.read(65536):
        pass


if __name__ == "__main__":
    asyncio.run(_watch(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
