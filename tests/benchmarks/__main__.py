"""Run benchmarks and print a row for each figure."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, replace
from importlib.util import find_spec

import structlog

from tests.benchmarks import (
    claim,
    counters,
    enqueue,
    inbound,
    large,
    latency,
    live,
    making,
    outbound,
    pages,
    peers,
    render,
    startup,
    tracking,
)
from tests.benchmarks.measure import Row, use_own_core

BENCHMARKS: dict[str, Callable[[bool], AsyncIterator[Row]]] = {
    "outbound": outbound.benchmark,
    "making": making.benchmark,
    "peers": peers.benchmark,
    "latency": latency.benchmark,
    "enqueue": enqueue.benchmark,
    "claim": claim.benchmark,
    "counters": counters.benchmark,
    "inbound": inbound.benchmark,
    "large": large.benchmark,
    "render": render.benchmark,
    "tracking": tracking.benchmark,
    "pages": pages.benchmark,
    "live": live.benchmark,
    "startup": startup.benchmark,
}
_OF_SERVICES = ("outbound", "peers", "latency", "tracking")
"""Measured on uvloop too, which `postroom worker` and `serve` run on where there is one."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one or more of {', '.join(BENCHMARKS)}; default all")
    parser.add_argument("--quick", action="store_true", help="fewer items: a look, no measurement")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args()
    if unknown := set(options.names) - set(BENCHMARKS):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    use_own_core()
    for name in options.names or BENCHMARKS:
        asyncio.run(_run(name, options.quick, options.json))
        if name in _OF_SERVICES and find_spec("uvloop") is not None:
            import uvloop  # There is none for PyPy and Windows.

            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_run(name, options.quick, options.json, ", uvloop"))


async def _run(name: str, quick: bool, as_json: bool, how: str = "") -> None:
    async for measured in BENCHMARKS[name](quick):
        row = replace(measured, name=measured.name + how)
        if as_json:
            print(json.dumps({"benchmark": name, **asdict(row)}), flush=True)
        else:
            ratio = f"{row.ratio:8.2f} x" if row.ratio is not None else " " * 10
            print(f"{name:9} {row.name:38} {row.value:12,.2f} {row.unit:17} {ratio}  {row.goal}", flush=True)


if __name__ == "__main__":
    main()
