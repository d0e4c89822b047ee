"""The application behind a port, and its clients: processes of their own, on another core than what is measured."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.benchmarks.measure import move_away
from tests.web.served import served

_ROOT = Path(__file__).resolve().parents[2]


@asynccontextmanager
async def served_at() -> AsyncIterator[int]:
    """Serve within the block; gives the port. When it is left, everything that the application saw is written."""
    async with served() as address:
        yield int(address.rpartition(":")[2])


async def client(module: str, *arguments: object) -> Process:
    """Start a module of this room, to be spoken with by its standard input and output."""
    command = (sys.executable, "-m", f"tests.benchmarks.{module}", *map(str, arguments))
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, cwd=_ROOT)
    move_away(process.pid)
    return process
