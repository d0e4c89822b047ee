"""Stop-watch, cores and memory of this process, and the row that a benchmark reports."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `goal` is in words, `ratio` compares with the yardstick of the same run, 1.0 being as good as it."""

    name: str
    value: float
    unit: str
    goal: str = ""
    ratio: float | None = None


@dataclass(slots=True)
class Watch:
    """The time that a block took: wall, and CPU of all threads of this process."""

    wall_s: float = 0.0
    cpu_s: float = 0.0

    def per_s(self, count: int) -> float:
        return count / self.wall_s

    def cpu_us(self, count: int) -> float:
        return self.cpu_s / count * 1e6


@contextmanager
def watch() -> Iterator[Watch]:
    """Time the block; the figures are there when it is left."""
    taken = Watch()
    wall, cpu = perf_counter(), process_time()
    yield taken
    taken.wall_s, taken.cpu_s = perf_counter() - wall, process_time() - cpu


def use_own_core() -> None:
    """Keep this process on the first of its cores; servers get the others."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def move_away(process_id: int) -> None:
    """Keep a server, and what it starts from now on, off the core of `use_own_core`, where there is another."""
    others = set(range(os.cpu_count() or 1)) - os.sched_getaffinity(0)
    if others:
        os.sched_setaffinity(process_id, others)


def forget_peak() -> None:
    """Let the peak of memory begin anew (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def memory_mb(field: str = "VmRSS") -> float:
    """Return what this process holds now, or with `VmHWM` held at most."""
    found = re.search(rf"^{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024
