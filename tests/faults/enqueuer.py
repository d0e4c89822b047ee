"""A process that queues one mail after the other and says so only when the queue has said yes; for power cuts.

    python -m tests.faults.enqueuer DATABASE_URL VAR_DIR

prints the Message-ID of each mail that was accepted, a line each.
"""

from __future__ import annotations

import asyncio
import sys

import structlog

from core.config import load_configuration
from core.host.host import open_host
from tests.faults.rig import queue


async def _main(database_url: str, folder: str) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    configuration = load_configuration(
        environment={}, overrides={"DATABASE_URL": database_url, "VAR_DIR": folder, "ADDONS": ["core"]}
    )
    async with open_host(configuration):
        while True:
            message = await queue(body="<p>" + "acknowledged " * 200 + "</p>")
            print(message.message_id, flush=True)


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
