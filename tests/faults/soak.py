"""The soak of F23: workers are killed every two seconds while a long queue goes out, and the sink's ledger is judged.

    python -m tests.faults.soak [--seconds 60] [--messages 2000] [--workers 3] [--database sqlite|postgres|both]

prints, for each database, what was lost (nothing may be), what came twice and how much of that the kills allow, and how
long what a dead worker held stayed out of reach. Ends with 1 where a bound does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from time import monotonic

from core.config import load_configuration
from core.host.host import open_host
from core.host.install import update_schema
from core.runtime import Runtime, get_model, runtime
from tests.acceptance.command import Running
from tests.faults.oracle import judge
from tests.faults.rig import Workers, ended, queue_some, until
from tests.servers.fake_mta import FakeMta
from tests.servers.postgres import Postgres

LANES = 4
LEASE_S = 3
KILL_EVERY_S = 2.0
_SETTLED_WITHIN_S = 60


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, how much, how many."""

    seconds: float = 60
    messages: int = 2000
    workers: int = 3


@dataclass(slots=True)
class Report:
    """What a soak came to."""

    database: str
    messages: int
    kills: int = 0
    lost: int = 0
    unfinished: int = 0
    doubted: int = 0
    repeats: int = 0
    faults: tuple[str, ...] = ()
    seconds: float = 0
    recoveries_s: list[float] = field(default_factory=list)

    @property
    def bound(self) -> int:
        return self.kills * LANES

    @property
    def holds(self) -> bool:
        return not (self.lost or self.unfinished or self.faults) and self.repeats <= self.bound

    def __str__(self) -> str:
        return (
            f"{self.database}: {self.messages} messages, {self.kills} kills in {self.seconds:.0f} s: "
            f"{self.lost} lost, {self.unfinished} unfinished, {self.doubted} in doubt, {self.repeats} repeats "
            f"(bound {self.kills} kills x {LANES} lanes = {self.bound}), "
            f"out of reach after a kill p50 {_percentile(self.recoveries_s, 0.5):.1f} s, "
            f"p99 {_percentile(self.recoveries_s, 0.99):.1f} s" + "".join(f"\n  {fault}" for fault in self.faults)
        )


async def soak(plan: Plan, database_url: str, folder: Path) -> Report:
    """Queue, kill and compare on one empty database."""
    configuration = load_configuration(
        environment={},
        overrides={
            "DATABASE_URL": database_url,
            "VAR_DIR": str(folder / "var"),
            "ADDONS": ["core"],
            "MAIL_MODE": "live",
            "MAIL_DOMAIN": "acme.test",
            "SMTP_CONCURRENCY": LANES,
            "LEASE_SECONDS": LEASE_S,
        },
    )
    async with open_host(configuration) as host:
        await update_schema(host)
        return await _soak(plan, host, folder)


async def _soak(plan: Plan, host: Runtime, folder: Path) -> Report:
    # The sink is so slow that the queue lasts as long as the killing does.
    latency_s = 0.8 * plan.seconds * plan.workers * LANES / plan.messages
    report = Report(host.database.dialect.name, plan.messages)
    async with FakeMta(latency_s=latency_s, keeps_raw=False) as sink, AsyncExitStack() as stack:
        crew = Workers(host, folder / "workers", sink.port, MAX_RETRIES=1000)
        stack.callback(crew.end)
        await queue_some(plan.messages)
        await stack.enter_async_context(_impatient())
        started_at = monotonic()
        await _kill_for(plan, crew, host, report)
        await until(_is_settled, "an empty queue", _SETTLED_WITHIN_S + plan.messages * latency_s / LANES)
        report.seconds = monotonic() - started_at
        for worker in crew.all:
            if worker.process.poll() is None:
                await until(lambda worker=worker: _works(worker), "the last worker", 60)
                worker.process.terminate()
                await ended(worker)
        await _compare(report, sink)
    return report


async def _kill_for(plan: Plan, crew: Workers, host: Runtime, report: Report) -> None:
    """Kill one worker after the other, kill -9, and start another one in its place."""
    team = [crew.start() for _ in range(plan.workers)]
    recoveries = []
    await until(lambda: get_model("Delivery").exists(state="sent"), "the first mail", 60)
    until_at = monotonic() + plan.seconds
    while monotonic() < until_at:
        await asyncio.sleep(KILL_EVERY_S)
        # The one that works longest; on a busy machine a new one takes a while to begin.
        victim = await until(lambda: next((one for one in team if _works(one)), None), "a worker", 60)
        victim.kill()
        report.kills += 1
        recoveries.append(asyncio.create_task(_recovery(host, report)))
        team.remove(victim)
        team.append(crew.start())
    await asyncio.gather(*recoveries)


def _works(worker: Running) -> bool:
    return "Worker started" in worker.output


async def _recovery(host: Runtime, report: Report) -> None:
    """Measure how long rows stay with a dead worker: those whose lease nobody renewed any more."""
    killed_at = monotonic()
    before = await _leases(host)
    await asyncio.sleep(LEASE_S / 6 + 0.3)
    dead = {token for token, lease_until in (await _leases(host)).items() if before.get(token) == lease_until}
    while dead:
        await asyncio.sleep(0.1)
        left = dead & set(await _leases(host))
        report.recoveries_s += [monotonic() - killed_at] * len(dead - left)
        dead = left


async def _leases(host: Runtime) -> dict[str, object]:
    rows = await host.database.fetch(
        "SELECT DISTINCT lease_token, lease_until FROM delivery WHERE state IN ('claimed', 'sending')"
    )
    return {row["lease_token"]: row["lease_until"] for row in rows}


@asynccontextmanager
async def _impatient() -> AsyncIterator[None]:
    """Make what waits for a retry due at once: minutes of waiting show nothing."""

    async def hurry() -> None:
        database = runtime().database
        while True:
            await asyncio.sleep(0.5)
            past = database.dialect.now(-1)
            await database.execute(
                f"UPDATE delivery SET due_at = {past} WHERE state = 'queued' AND due_at > {database.dialect.now(1)}"
            )

    task = asyncio.create_task(hurry())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _is_settled() -> bool:
    return not await get_model("Delivery").filter(state__in=["queued", "claimed", "sending"]).exists()


async def _compare(report: Report, sink: FakeMta) -> None:
    verdict = await judge(sink.ledger)
    arrived = {(one.message_id, one.recipient) for one in sink.ledger}
    report.lost = report.messages - len(arrived)
    report.unfinished = sum(count for state, count in verdict.states.items() if state != "sent")
    report.repeats = verdict.repeats
    report.faults = verdict.faults
    report.doubted = await get_model("Attempt").filter(outcome="unknown").count()


def _percentile(values: Sequence[float], share: float) -> float:
    ranked = sorted(values)
    return ranked[min(ceil(share * len(ranked)), len(ranked)) - 1] if ranked else 0.0


async def _main(plan: Plan, databases: Sequence[str]) -> bool:
    holds = True
    for name in databases:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            if name == "sqlite":
                report = await soak(plan, f"sqlite://{folder}/postroom.db", folder)
            else:
                with Postgres() as server:
                    report = await soak(plan, server.create_database(), folder)
        print(report, flush=True)
        holds &= report.holds
    return holds


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--database", choices=("sqlite", "postgres", "both"), default="both")
    asked = parser.parse_args()
    chosen = ("sqlite", "postgres") if asked.database == "both" else (asked.database,)
    ok = asyncio.run(_main(Plan(asked.seconds, asked.messages, asked.workers), chosen))
    sys.exit(0 if ok else 1)
