"""Which methods a CronJob may name: those that say so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

_MARK = "_postroom_cron_method"
F = TypeVar("F", bound=Callable[..., Any])


def cron_method(method: F) -> F:
    """Mark an async method of a model (below `@classmethod`) as callable by cron, without arguments.

    It may return None, the number of items that it worked on, or a `core.cron.runner.Progress` that says whether more
    work remains.
    """
    setattr(method, _MARK, True)
    return method


def is_cron_method(model: type, name: str) -> bool:
    """Whether `model` has a method of that name that is marked."""
    if name.startswith("_"):
        return False
    return bool(getattr(getattr(model, name, None), _MARK, False))
