"""What the fault tests share: queueing by the public door, letting time pass, real workers that can be killed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from core.delivery import servers
from core.delivery.engine import Engine
from core.delivery.request import QueueRequest
from core.hookspecs import hookimpl
from core.orm.outage import database_errors
from core.runtime import Runtime, get_model, runtime
from core.transport.smtp_account import SmtpAccount, Timeouts
from tests.acceptance.command import POSTROOM, Postroom, Running
from tests.servers.fake_mta import FakeMta

HASTY = Timeouts(connect_s=1, greeting_s=1, tls_s=2, command_s=1, content_s=1, answer_s=0.5, quit_s=0.2)


def be_hasty(patch: pytest.MonkeyPatch, timeouts: Timeouts = HASTY) -> None:
    """Let the open host's servers be given up after fractions of a second rather than minutes."""
    patch.setattr(servers, "SmtpAccount", partial(SmtpAccount, timeouts=timeouts))


async def use(mta: FakeMta, **values: Any) -> Any:
    """Make a fake server one of the host's outgoing servers; return its record."""
    record = {"name": "fake", "server": "127.0.0.1", "port": mta.port, "use_ssl": False, **values}
    return await get_model("OutgoingMailServer").create(**record)


async def queue(*to: str, **options: Any) -> Any:
    """Queue one mail for some recipients; return the message."""
    keywords = {"subject": "Invoice", "body": "<p>Hello</p>", "from_email": "office@acme.test", **options}
    return await get_model("Message").queue_email(
        None, to or ("kim@b.test",), keywords.pop("subject"), keywords.pop("body"), **keywords
    )


async def queue_some(count: int, **options: Any) -> list[Any]:
    """Queue `count` mails, each to an address of its own."""
    values = {"author": None, "subject": "Invoice", "body": "<p>Hello</p>", "from_email": "office@acme.test", **options}
    requests = [QueueRequest(to=(f"kim{number}@b.test",), **values) for number in range(count)]
    return list(await get_model("Message").queue_many(requests))


async def drain(at_most_s: float = 20) -> None:
    """Send what is due, as a worker would."""
    async with asyncio.timeout(at_most_s), Engine() as engine:
        await engine.drain()


async def let_time_pass() -> None:
    """Make every retry due, end every lease of the dead and every pause, as hours would."""
    database = runtime().database
    past = database.dialect.now(-60)
    await database.execute(f"UPDATE delivery SET due_at = {past} WHERE state = 'queued'")
    await database.execute(f"UPDATE delivery SET lease_until = {past} WHERE lease_until IS NOT NULL")
    await get_model("ServerPause").all().delete()


async def finish(rounds: int = 4) -> None:
    """Let time pass and send, until nothing is due any more."""
    for _ in range(rounds):
        await let_time_pass()
        await drain()


@asynccontextmanager
async def sending() -> AsyncIterator[asyncio.Event]:
    """Run a worker's engine in the block; it must still run at its end and stop when told to."""
    stop = asyncio.Event()
    async with Engine() as engine:
        running = asyncio.create_task(engine.run(stop))
        yield stop
        assert not running.done(), running
        stop.set()
        async with asyncio.timeout(30):
            await running


async def until(found: Callable[[], Any], what: str, timeout_s: float = 20) -> Any:
    """Ask until the answer is true and return it; the question may be a coroutine function, and the database away."""
    try:
        async with asyncio.timeout(timeout_s) as limit:
            while True:
                try:
                    answer = found()
                    if isinstance(answer, Awaitable):
                        answer = await answer
                except database_errors():
                    if limit.expired():
                        raise
                    answer = None
                if answer:
                    return answer
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"{what} did not come within {timeout_s} s") from None


async def states() -> dict[str, str]:
    """Return each recipient's state; for tests whose recipients get one mail each."""
    return dict(await get_model("Delivery").all().values_list("recipient", "state"))


async def all_are(*wanted: str) -> bool:
    """Whether every delivery is in one of some states."""
    return set(await get_model("Delivery").all().values_list("state", flat=True)) <= set(wanted)


async def outcomes() -> list[str]:
    """Return what all attempts came to, oldest first."""
    return list(await get_model("Attempt").all().order_by("id").values_list("outcome", flat=True))


def hook(host: Runtime, **functions: Callable[..., Any]) -> None:
    """Add hook implementations to the open host, as an addon has them."""
    module = ModuleType("an_addon")
    for name, function in functions.items():
        setattr(module, name, hookimpl(function))
    assert host.hooks.register("an_addon", module) is None


class Workers:
    """Real `postroom worker` processes on the open host's database."""

    def __init__(self, host: Runtime, folder: Path, port: int, **keys: Any):
        values = host.settings
        defaults = {
            "DATABASE_URL": values.DATABASE_URL,
            "VAR_DIR": values.VAR_DIR,
            "ADDONS": list(values.ADDONS),
            "MAIL_MODE": "live",
            "MAIL_DOMAIN": values.MAIL_DOMAIN,
            "SMTP_SERVER": "127.0.0.1",
            "SMTP_PORT": port,
            "SMTP_TLS": "none",
            "SMTP_CONCURRENCY": values.SMTP_CONCURRENCY,
            "LEASE_SECONDS": values.LEASE_SECONDS,
            "CRON_POLL_SECONDS": 0.2,
        }
        self.site = Postroom(folder, **{**defaults, **keys})
        self.all: list[Running] = []

    def start(self, *words: str) -> Running:
        worker = self.site.start(*(words or ("worker",)))
        self.all.append(worker)
        return worker

    def start_with_full_log(self) -> Running:
        """Start one whose every word meets a full disk."""
        with Path("/dev/full").open("wb") as log:
            process = subprocess.Popen(
                [str(POSTROOM), "worker"],
                cwd=self.site.folder,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                stdout=log,
                stderr=log,
            )
        self.all.append(Running(process, Path("/dev/null")))
        return self.all[-1]

    async def started(self) -> Running:
        """Start one and wait until it looks for work."""
        worker = self.start()
        await until(lambda: "Worker started" in worker.output, "a started worker", 40)
        return worker

    def end(self) -> None:
        """End whoever is left, whatever state it is in."""
        for worker in self.all:
            if worker.process.poll() is None:
                worker.process.send_signal(signal.SIGCONT)
                worker.kill()


async def ended(worker: Running, timeout_s: float = 40) -> int:
    """Wait for a worker's end and return its exit code."""
    await until(lambda: worker.process.poll() is not None, "the worker's end", timeout_s)
    return int(worker.process.returncode)


def kill(worker: Running) -> None:
    """kill -9, without waiting: for the moment at which the server reads something."""
    os.kill(worker.process.pid, signal.SIGKILL)
