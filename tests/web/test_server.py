from __future__ import annotations

import asyncio
import socket

import httpx2
import pytest

from core.errors import ConfigError
from core.runtime import Runtime
from core.web.server import serve

pytestmark = pytest.mark.anyio


async def test_it_serves_until_it_is_told_to_stop(host: Runtime) -> None:
    stop, bound = asyncio.Event(), asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve("127.0.0.1", 0, stop, bound.set_result))
    address = await bound
    async with httpx2.AsyncClient() as client:
        assert (await client.get(f"{address}/api/health")).status_code == 200
    stop.set()
    await asyncio.wait_for(serving, 5)
    port = int(address.rpartition(":")[2])
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", port))


async def test_a_taken_port_is_told(host: Runtime) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match="HTTP_PORT"):
            await serve("127.0.0.1", taken.getsockname()[1], asyncio.Event())


async def test_cancelling_ends_it(host: Runtime) -> None:
    bound = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve("127.0.0.1", 0, asyncio.Event(), bound.set_result))
    await bound
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(serving, 5)
