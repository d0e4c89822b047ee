"""The web server of the open host, on a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from core.web.server import serve


@asynccontextmanager
async def served(port: int = 0) -> AsyncIterator[str]:
    """Serve within the block; gives the server's address. When it is left, all that the server saw is written."""
    stop, bound = asyncio.Event(), asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve("127.0.0.1", port, stop, bound.set_result))
    try:
        yield await bound
    finally:
        stop.set()
        await serving
