"""Logs: one line an event on standard error, for people on a terminal and as JSON elsewhere."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO, cast


@contextmanager
def _without(module: str) -> Iterator[None]:
    """Let a module seem not to be installed, unless it is loaded already."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[module]


# For traces that show variables, which no log of ours does, structlog would load all of rich wherever it is there.
with _without("rich"):
    import structlog


class Patient:
    """A stream whose disk may be full: what it cannot take is dropped, since no mail may wait for a log (F29, F50)."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def set_up_logs(*, verbose: bool = False, service: bool = False, form: str = "auto") -> None:
    """Set up structlog and the standard library's loggers; a service logs what it does, a command only warnings.

    `form` is LOG_FORMAT: for people (`console`), as `json`, or whichever fits standard error (`auto`).
    """
    level = logging.DEBUG if verbose else logging.INFO if service else logging.WARNING
    for_people = sys.stderr.isatty() if form == "auto" else form == "console"
    # A plain trace: the richer ones print the variables, and with them passwords and mails.
    console = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    renderer = console if for_people else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([] if for_people else [structlog.processors.format_exc_info]),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, Patient(sys.stderr))),
    )
    logging.basicConfig(level=max(level, logging.INFO), stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    # Its DEBUG lines hold mail bodies and tokens, its warnings repeat what we report ourselves.
    logging.getLogger("aioimaplib").setLevel(logging.ERROR)
