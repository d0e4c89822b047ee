"""One transaction: joined by whoever is inside, with work to do just before and just after its commit.

`transaction()` nests: an inner one is a savepoint of the outer one, and its callbacks are kept only when it succeeds.
Before-commit work is part of the transaction; after-commit work is for wake-ups and events, whose failure must not
undo what is stored.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

from tortoise.transactions import in_transaction

Callback = Callable[[], Awaitable[None]]
_Marks = tuple[int, int, dict[Hashable, Any]]


class Transaction:
    """What waits for the end of the running transaction.

    `memo` keeps values for its duration, for work that is done once however often it is asked for.
    """

    def __init__(self) -> None:
        self.memo: dict[Hashable, Any] = {}
        self.has_ended = False
        self._before: list[Callback] = []
        self._after: list[Callback] = []

    def before_commit(self, callback: Callback) -> None:
        """Run `callback` inside the transaction, when all else is done; what it raises rolls everything back."""
        self._before.append(callback)

    def after_commit(self, callback: Callback) -> None:
        """Run `callback` once the transaction is durable; never after a rollback."""
        self._after.append(callback)

    async def run_before(self) -> None:
        while self._before:
            await self._before.pop(0)()

    async def run_after(self) -> None:
        for callback in self._after:
            await callback()

    def marks(self) -> _Marks:
        return len(self._before), len(self._after), dict(self.memo)

    def back_to(self, marks: _Marks) -> None:
        before, after, self.memo = marks
        del self._before[before:]
        del self._after[after:]


_current: ContextVar[Transaction | None] = ContextVar("postroom_transaction", default=None)


@asynccontextmanager
async def transaction() -> AsyncIterator[Transaction]:
    """Open a transaction, or join the running one by a savepoint.

    Do no network and no PDF work inside: on SQLite every other query of the process waits. Do not start tasks inside
    either, since they would inherit the transaction; one that outlives it gets a RuntimeError.
    """
    outer = _current.get()
    if outer is not None:
        if outer.has_ended:
            raise RuntimeError("this task was started inside a transaction that has ended; start it after the commit")
        marks = outer.marks()
        try:
            async with in_transaction():
                yield outer
        except BaseException:
            outer.back_to(marks)
            raise
        return
    running = Transaction()
    token = _current.set(running)
    try:
        async with in_transaction():
            yield running
            await running.run_before()
    finally:
        running.has_ended = True
        _current.reset(token)
    await running.run_after()


def refuse_inside(what: str) -> None:
    """Raise RuntimeError where a transaction runs: `what` cannot be taken back by its rollback."""
    if _current.get() is not None:
        raise RuntimeError(f"{what} inside a transaction cannot be taken back with it; do it after the commit")


class _RolledBack(Exception):
    """Ends a rehearsal."""


@asynccontextmanager
async def rehearsal() -> AsyncIterator[Transaction]:
    """Open a transaction, or a savepoint, that is rolled back at the end of the block: for dry runs."""
    try:
        async with transaction() as running:
            yield running
            raise _RolledBack
    except _RolledBack:
        pass


async def before_commit(callback: Callback) -> None:
    """Run `callback` as the last part of the running transaction, or at once where there is none."""
    running = _current.get()
    if running is None:
        await callback()
    else:
        running.before_commit(callback)


async def after_commit(callback: Callback) -> None:
    """Run `callback` after the running transaction commits, or at once where there is none."""
    running = _current.get()
    if running is None:
        await callback()
    else:
        running.after_commit(callback)
