"""Importing Tortoise without the two things that take a third of its time and that nobody here asks for.

At its import it reads its own source, to find comments on the fields of its abstract `Model`; and it compiles patterns
of international domain names, which lie over all of Unicode. Here there is no source to read, and such a pattern is
compiled when something is first compared with it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_WIDE = "\uffff"


@contextmanager
def lean_import() -> Iterator[None]:
    """Import Tortoise in this block, for the first time in the process."""
    compile_, getsource = re.compile, inspect.getsource
    _put(_unless_wide(compile_), _unless_class(getsource))
    try:
        yield
    finally:
        _put(compile_, getsource)


def _put(compile_: Callable[..., Any], getsource: Callable[..., str]) -> None:
    re.compile = compile_
    inspect.getsource = getsource


def _unless_class(getsource: Callable[..., str]) -> Callable[..., str]:
    def chosen(thing: Any) -> str:
        if isinstance(thing, type):
            raise OSError("not read")
        return getsource(thing)

    return chosen


def _unless_wide(compile_: Callable[..., Any]) -> Callable[..., Any]:
    def chosen(pattern: Any, flags: Any = 0) -> Any:
        return _Later(pattern, flags) if isinstance(pattern, str) and _WIDE in pattern else compile_(pattern, flags)

    return chosen


class _Later:
    """A pattern that is compiled at its first use; `re` remembers it from then on."""

    __slots__ = ("_flags", "_text")

    def __init__(self, text: str, flags: Any):
        self._text = text
        self._flags = flags

    def __getattr__(self, name: str) -> Any:
        return getattr(re.compile(self._text, self._flags), name)
