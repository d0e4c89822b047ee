"""Which methods of a model programs may call over HTTP: those that say so, and what each of them asks for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from core.access.right import Right
from core.access.scope import Scope

_MARK = "_postroom_api_method"
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class ApiMark:
    """What a marked method needs: a right on its record (or model), and of a bearer token a scope."""

    right: Right
    title: str
    scope: Scope


def api_method(*, right: Right = Right.WRITE, title: str = "", scope: str = "write") -> Callable[[F], F]:
    """Mark an async method of a model (below `@classmethod`) as callable over HTTP, by whoever has `right`.

    Its parameters need types, which arguments are checked by; `scope` is what a bearer token needs. It runs on behalf
    of the caller (`acting_user()`), in no transaction, and what it returns is answered as JSON, records by id and name.
    """

    def mark(method: F) -> F:
        words = title or method.__name__.replace("_", " ").capitalize()
        setattr(method, _MARK, ApiMark(right, words, Scope(scope)))
        return method

    return mark


def mark_of(method: object) -> ApiMark | None:
    """Return how a function is marked; None where it is not."""
    mark = getattr(method, _MARK, None)
    return mark if isinstance(mark, ApiMark) else None
