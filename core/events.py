"""Telling events: to hooks, to webhooks, to who waits and to who watches, and only once what happened is durable."""

from __future__ import annotations

from functools import partial
from typing import Any

from core.orm.feed import Change
from core.orm.transaction import after_commit, before_commit
from core.runtime import get_model, runtime


async def tell(name: str, **values: Any) -> None:
    """Tell the event `name` to every addon, after the running transaction commits (at once where there is none).

    The webhooks that listen are written down in the transaction itself.
    """
    await note(name, **values)
    await tell_addons(name, **values)


async def note(name: str, **values: Any) -> None:
    """Write down which webhooks are to be told of the event `name`, at the end of the running transaction.

    By then all that it is about has its id.
    """
    if await is_heard(name):
        await before_commit(partial(get_model("WebhookCall").note, name, values))


async def is_heard(*names: str) -> bool:
    """Tell whether a webhook listens to one of these events."""
    heard: bool = await get_model("WebhookCall").heard(*names)
    return heard


async def tell_addons(name: str, **values: Any) -> None:
    """Tell an event to every addon, as `tell` does, where the webhooks were written down before."""

    async def emit() -> None:
        await runtime().hooks.emit(name, **values)

    await after_commit(emit)


async def ring(topic: str) -> None:
    """Wake those who wait for `topic`, after the running transaction commits."""

    async def ring_bell() -> None:
        await runtime().bell.ring(topic)

    await after_commit(ring_bell)


async def announce(*changes: Change) -> None:
    """Tell whoever watches pages and streams what changed, after the running transaction commits."""

    async def add() -> None:
        runtime().feed.add(changes)

    if changes:
        await after_commit(add)
