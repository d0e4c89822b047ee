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

from core.pattern import pattern

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
    def chosen(text: Any, flags: Any = 0) -> Any:
        return pattern(text, flags) if isinstance(text, str) and _WIDE in text else compile_(text, flags)

    return chosen
