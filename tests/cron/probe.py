"""An addon whose cron methods do what a test needs, and what tests ask of jobs and runs."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from core.runtime import get_model, runtime

_HOOKS = """
from core.hookspecs import hookimpl
from core.runtime import get_model

@hookimpl
def register_models():
    from .models.probe import Probe
    return [Probe]

@hookimpl
async def cron_finished(job, run):
    await get_model("Probe").create(name=f"finished {job.identifier} {run.outcome}")
"""

_MODEL = '''
import asyncio

from core.cron.method import cron_method
from core.cron.runner import Progress
from core.orm import fields
from core.orm.record import Record
from core.runtime import acting_user


class Probe(Record):
    """A row for every call, whoever made it."""

    name = fields.CharField(max_length=100)

    batches = 3
    gate = None
    was_cancelled = False

    @classmethod
    @cron_method
    async def tick(cls):
        await cls.create(name="tick")

    @classmethod
    @cron_method
    async def count(cls):
        return 7

    @classmethod
    @cron_method
    async def batch(cls):
        """Three batches of ten."""
        cls.batches -= 1
        await cls.create(name="batch")
        return Progress(items=10, more=cls.batches > 0)

    @classmethod
    @cron_method
    async def spin(cls):
        return Progress(items=0, more=True)

    @classmethod
    @cron_method
    async def fail(cls):
        raise ValueError("no \\0 luck")

    @classmethod
    @cron_method
    async def wrong(cls):
        return "three"

    @classmethod
    @cron_method
    async def whoami(cls):
        await cls.create(name=str(acting_user()))

    @classmethod
    @cron_method
    async def wait(cls):
        """Begin, then wait for the gate; for ever where there is none."""
        await cls.create(name="begun")
        try:
            await (cls.gate or asyncio.Event()).wait()
        except asyncio.CancelledError:
            type(cls).__setattr__(cls, "was_cancelled", True)
            raise
        await cls.create(name="ended")

    @classmethod
    @cron_method
    async def wait_once(cls):
        """Wait for ever at the first call; at the next ones be done at once."""
        first = not await cls.filter(name="first").exists()
        await cls.create(name="first" if first else "again")
        if first:
            await asyncio.Event().wait()

    @classmethod
    async def unmarked(cls):
        await cls.create(name="unmarked")
'''

WORKER = """
import asyncio, signal, sys
from core.config import load_configuration
from core.cron.scheduler import scheduler
from core.host.host import open_host

async def main(url, addons, var, name):
    overrides = {"DATABASE_URL": url, "VAR_DIR": var, "ADDONS": ["core", "probe"], "ADDONS_PATH": [addons],
                 "LEASE_SECONDS": 2, "CRON_POLL_SECONDS": 0.2}
    async with open_host(load_configuration(environment={}, overrides=overrides)):
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        await scheduler(name, stop, grace_s=0.1)

asyncio.run(main(*sys.argv[1:]))
"""


def write_addon(folder: Path) -> Path:
    """Write the addon `probe` into `folder` and return the folder, for ADDONS_PATH."""
    addon = folder / "probe"
    (addon / "models").mkdir(parents=True)
    (addon / "addon.yaml").write_text('name: probe\ntitle: Probe\nversion: "1"\n')
    (addon / "hooks.py").write_text(_HOOKS)
    (addon / "models" / "probe.py").write_text(_MODEL)
    return folder


def ago(**by: float) -> datetime:
    return datetime.now(UTC) - timedelta(**by)


async def make_job(identifier: str, method: str = "tick", *, due: bool = True, **values: Any) -> Any:
    """Store a job of the model Probe, due since a minute, unless told otherwise."""
    values = {"model": "Probe", "name": f"Job {identifier}", "anchor_at": ago(days=1), **values}
    if due:
        values.setdefault("next_run", ago(minutes=1))
    return await get_model("CronJob").create(identifier=identifier, method=method, **values)


async def stored(job: Any) -> Any:
    return await get_model("CronJob").get(id=job.id)


async def edit(job: Any, **values: Any) -> None:
    """Change the row behind everyone's back."""
    await get_model("CronJob").filter(id=job.id).update(**values)


async def runs_of(job: Any) -> list[Any]:
    return list(await get_model("CronRun").filter(job_id=job.id).order_by("id"))


async def calls() -> list[str]:
    """Return what the methods of Probe wrote, in order, without the events."""
    rows = await get_model("Probe").all().order_by("id")
    return [row.name for row in rows if not row.name.startswith("finished")]


async def events() -> list[str]:
    return [row.name for row in await get_model("Probe").filter(name__startswith="finished").order_by("id")]


async def until(condition: Callable[[], Awaitable[bool]], within_s: float = 20) -> None:
    """Wait until `condition` holds."""
    give_up_at = time.monotonic() + within_s
    while not await condition():
        assert time.monotonic() < give_up_at, "it did not come to that in time"
        await asyncio.sleep(0.02)


@asynccontextmanager
async def worker_process(name: str, addons: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a scheduler for this host's database in a process of its own, with a lease of 2 s and 0.1 s of grace."""
    here = runtime().configuration.settings
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WORKER, here.DATABASE_URL, str(addons), here.VAR_DIR, name, cwd=Path(__file__).parents[2]
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()
