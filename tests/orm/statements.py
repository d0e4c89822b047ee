"""Counting the statements of a block, on either database, as Tortoise logs them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_LOGGER = logging.getLogger("tortoise.db_client")


class Count(logging.Handler):
    """Counts what is logged; `texts` are the statements."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: list[str] = []

    @property
    def statements(self) -> int:
        return len(self.texts)

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


@asynccontextmanager
async def counted() -> AsyncIterator[Count]:
    """Count what the block asks the database."""
    count, before = Count(), _LOGGER.level
    _LOGGER.addHandler(count)
    _LOGGER.setLevel(logging.DEBUG)
    try:
        yield count
    finally:
        _LOGGER.removeHandler(count)
        _LOGGER.setLevel(before)
