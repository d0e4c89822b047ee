"""Run benchmarks and print a row for each figure."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import subprocess
import sys
from dataclasses import asdict, replace
from importlib import import_module
from importlib.util import find_spec

import structlog

from tests.benchmarks.measure import use_own_core

_NAMES = (
    *("outbound", "making", "peers", "latency", "enqueue", "claim", "counters"),
    *("inbound", "large", "render", "tracking", "pages", "live", "startup"),
)
_OF_SERVICES = ("outbound", "peers", "latency", "tracking")
"""Measured on uvloop too, which `postroom worker` and `serve` run on where there is one."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one or more of {', '.join(_NAMES)}; default all")
    parser.add_argument("--quick", action="store_true", help="fewer items: a look, no measurement")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args()
    if unknown := set(options.names) - set(_NAMES):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    names = options.names or _NAMES
    if len(names) == 1:
        _measure(names[0], options.quick, options.json)
        return
    # Each in a process of its own: what one loads is not in another one's memory.
    flags = [flag for flag, is_set in (("--quick", options.quick), ("--json", options.json)) if is_set]
    commands = [[sys.executable, "-m", "tests.benchmarks", name, *flags] for name in names]
    codes = [subprocess.run(command).returncode for command in commands]
    sys.exit(int(any(codes)))


def _measure(name: str, quick: bool, as_json: bool) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    use_own_core()
    asyncio.run(_run(name, quick, as_json))
    if name in _OF_SERVICES and find_spec("uvloop") is not None:
        import uvloop  # There is none for PyPy and Windows.

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(name, quick, as_json, ", uvloop"))


async def _run(name: str, quick: bool, as_json: bool, how: str = "") -> None:
    async for measured in import_module(f"tests.benchmarks.{name}").benchmark(quick):
        row = replace(measured, name=measured.name + how)
        if as_json:
            print(json.dumps({"benchmark": name, **asdict(row)}), flush=True)
        else:
            ratio = f"{row.ratio:8.2f} x" if row.ratio is not None else " " * 10
            print(f"{name:9} {row.name:38} {row.value:12,.2f} {row.unit:17} {ratio}  {row.goal}", flush=True)


if __name__ == "__main__":
    main()
