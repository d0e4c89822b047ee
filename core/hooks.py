"""Calling the hooks: each kind in its own way, always in dependency order, always naming the addon.

pluggy validates and keeps the implementations; the calls are made here, since events and filters are coroutines, which
pluggy would hand back unawaited, and since results and errors need their addon's name.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any, cast

import pluggy
import structlog
from pluggy import HookImpl

from core import hookspecs
from core.errors import PostroomError, did_you_mean

log = structlog.get_logger(__name__)


class HookError(PostroomError):
    """An addon's hook failed where its answer was needed."""

    code = "hook"


class Hooks:
    """The hook implementations of one host."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._users: dict[str, list[str]] = {}

    def register(self, addon: str, module: ModuleType) -> str | None:
        """Take an addon's hook implementations; return a fault in words when one does not fit its hook."""
        self._users.clear()
        try:
            self._manager.register(module, name=addon)
            self._manager.check_pending()
        except pluggy.PluginValidationError as error:
            if self._manager.is_registered(module):
                self._manager.unregister(module)
            reason = self._misspelt(module) or " ".join(str(error).splitlines()[-1].split())
            return f"{addon}: {module.__name__}: {reason}"
        return None

    def contributions(self, name: str, addon: str | None = None) -> list[tuple[str, Any]]:
        """Call a `register_*` hook (of one addon only) and return (addon, contribution) in addon order."""
        joined: list[tuple[str, Any]] = []
        for implementation in self._implementations(name):
            if addon not in (None, implementation.plugin_name):
                continue
            try:
                contributed = cast("Iterable[Any]", implementation.function())
                joined += [(implementation.plugin_name, item) for item in contributed]
            except Exception as error:
                raise HookError(f"{implementation.plugin_name}: {name} failed: {error}") from error
        return joined

    async def emit(self, name: str, **values: Any) -> None:
        """Tell an event to every addon; one that fails is logged and stops nobody."""
        for implementation in self._implementations(name):
            try:
                await _call(implementation, values)
            except Exception as error:
                log.exception("hook failed", event_name=name, addon=implementation.plugin_name, error=str(error))

    async def filter(self, name: str, value: Any, **values: Any) -> Any:
        """Pass `value` (the hook's first parameter) through every addon; raise HookError when one fails."""
        for implementation in self._implementations(name):
            first = self._first_parameter(name)
            try:
                changed = await _call(implementation, {first: value, **values})
            except Exception as error:
                raise HookError(f"{implementation.plugin_name}: {name} failed: {error}") from error
            value = value if changed is None else changed
        return value

    def users_of(self, name: str) -> list[str]:
        """Name the addons that implement a hook."""
        if name not in self._users:
            self._users[name] = [implementation.plugin_name for implementation in self._implementations(name)]
        return self._users[name]

    def _implementations(self, name: str) -> Iterator[HookImpl]:
        return iter(getattr(self._manager.hook, name).get_hookimpls())

    def _first_parameter(self, name: str) -> str:
        argument: str = getattr(self._manager.hook, name).spec.argnames[0]
        return argument

    def _misspelt(self, module: ModuleType) -> str:
        known = [name for name, caller in vars(self._manager.hook).items() if getattr(caller, "spec", None)]
        for name, value in vars(module).items():
            if hasattr(value, f"{hookspecs.PROJECT}_impl") and name not in known:
                return f"{name} is no hook.{did_you_mean(name, known)}"
        return ""


async def _call(implementation: HookImpl, values: dict[str, Any]) -> Any:
    result = implementation.function(**{name: values[name] for name in implementation.argnames})
    if not inspect.isawaitable(result):
        return result
    try:
        return await result
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        # Nobody cancelled us: it is the addon's own, and would end whoever calls without a word.
        raise RuntimeError("it was cancelled from within") from error
