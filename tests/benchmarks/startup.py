"""Starting: the CPU time and memory of the real command, from nothing to its answer."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

from tests.benchmarks.measure import Row

_COMMANDS = {
    "postroom --help": ("--help",),
    "postroom queue stats": ("queue", "stats"),
    "postroom worker --once": ("worker", "--once"),
}


async def benchmark(quick: bool) -> AsyncIterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        _run(folder, "init")
        for name, arguments in _COMMANDS.items():
            took = min(_run(folder, *arguments) for _ in range(2 if quick else 7))
            yield Row(name, took * 1000, "ms CPU", "<= 250 ms")
        orm = [sys.executable, "-c", "import tortoise"]
        yield Row("import of the ORM alone", min(_cpu_of(orm, folder) for _ in range(5)) * 1000, "ms CPU")
        bare = min(_cpu_of([sys.executable, "-c", "pass"], folder) for _ in range(5))
        yield Row("python -c pass", bare * 1000, "ms CPU")


def _run(folder: str, *arguments: str) -> float:
    return _cpu_of([str(Path(sys.executable).with_name("postroom")), *arguments], folder)


def _cpu_of(command: list[str], folder: str) -> float:
    """Run a command and return its CPU seconds, its children's too."""
    before = getrusage(RUSAGE_CHILDREN)
    # The first call compiles what the others load, as an installation does.
    places = {
        "POSTROOM_VAR_DIR": folder,
        "POSTROOM_DATABASE_URL": f"sqlite://{folder}/p.db",
        "PYTHONPYCACHEPREFIX": folder,
        "PYTHONDONTWRITEBYTECODE": "",
    }
    environment = {**os.environ, **places}
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    after = getrusage(RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
