"""Works that go on beside each other, and do not fall with each other."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any


async def side_by_side(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run works at once, each to its end whatever befalls the others; then raise what they raised, as a group.

    A task group would stop the others, and a mail whose answer is awaited is then in doubt for nothing. Where the
    caller is cancelled, so are they all.
    """
    ended = await asyncio.gather(*works, return_exceptions=True)
    faults = [one for one in ended if isinstance(one, Exception)]
    if faults:
        raise ExceptionGroup("works side by side", faults)
