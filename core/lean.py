"""Importing libraries without what takes a good part of their time and nobody here asks for.

Tortoise reads its own source at its import, to find comments on the fields of its abstract `Model`: here there is no
source to read. And patterns that lie over all of Unicode, as of international domain names, of Jinja's names and of
what YAML may print, are compiled when something is first compared with them.
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
    """Import Tortoise, Jinja or YAML in this block, for the first time in the process."""
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
        is_wide = isinstance(text, str) and max(text, default="") >= _WIDE
        return pattern(text, flags) if is_wide else compile_(text, flags)

    return chosen
