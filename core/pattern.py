"""Regular expressions that are compiled at their first use: a host has hundreds, and most commands need ten of them."""

from __future__ import annotations

import re
from typing import Any, AnyStr, cast


def pattern(text: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """Return what `re.compile` does, but for a fault in it, which is told only when it is used."""
    return cast("re.Pattern[AnyStr]", _Later(text, flags))


class _Later:
    def __init__(self, text: str | bytes, flags: int):
        self._text = text
        self._flags = flags

    def __reduce__(self) -> tuple[Any, ...]:
        return re.compile, (self._text, self._flags)

    def __getattr__(self, name: str) -> Any:
        value = getattr(re.compile(self._text, self._flags), name)
        setattr(self, name, value)  # Nobody asks here for it again.
        return value
