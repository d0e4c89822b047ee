"""The steps of a connection test: what was tried with a mail server, how it went and how long it took.

Knows no protocol; the clients of this package record into it and the CLI and the web page show it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic

from core.errors import TransportError


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a connection test; `detail` is one line for a person, on failure the error's message.

    `hint` says what to do about a failure, where that is known.
    """

    name: str
    ok: bool
    detail: str
    duration_ms: float
    hint: str = ""


class StepLog:
    """Collects steps in the order they ran."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    @contextmanager
    def step(self, name: str) -> Iterator[list[str]]:
        """Time the block as one step; it may append to the list it is given, which becomes the detail.

        A TransportError is recorded as the step's failure and goes on to the caller, so that no later step runs.
        """
        detail: list[str] = []
        started = monotonic()
        try:
            yield detail
        except TransportError as error:
            self._add(name, False, str(error), started)
            raise
        self._add(name, True, "; ".join(detail), started)

    def _add(self, name: str, ok: bool, detail: str, started: float) -> None:
        self.steps.append(Step(name, ok, detail, round((monotonic() - started) * 1000, 1)))
