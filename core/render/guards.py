"""Jinja's filters and tests by allow-list, each wrapped so that its input is plain and its work counted.

Left out on purpose: those that reach attributes by name (attr), make text of any size (center, format, wordwrap,
xmlattr), show an object's repr (pprint), are not the same twice (random), or guess links (urlize).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import wraps
from types import MappingProxyType
from typing import Any, cast

from jinja2 import Undefined
from jinja2.filters import FILTERS
from jinja2.tests import TESTS
from jinja2.utils import _PassArg
from markupsafe import Markup

from core.render import plain
from core.render.plain import admitted, compared, each, text
from core.render.run import Refused, current_run

STEP_LIMIT = 1_000
INDENT_LIMIT = 100


def _guarded(function: Callable[..., Any], guard: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap one of Jinja's filters: its input made plain and counted first, its result counted after."""
    has_context = _PassArg.from_obj(function) is not None

    @wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        head, (value, *rest) = args[:has_context], args[has_context:]
        current_run.get().check()
        return admitted(function(*head, guard(value, *rest, **kwargs), *rest, **kwargs))

    return guarded


def _as_text(value: object, *_args: object, **_kwargs: object) -> str:
    known = text(value)
    current_run.get().spend_chars(len(known))
    return known


def _as_scalar(value: object, *_args: object, **_kwargs: object) -> object:
    return admitted(value) if isinstance(value, (int, float, Decimal)) else _as_text(value)


def _as_list(value: object, *_args: object, **_kwargs: object) -> list[Any]:
    known = list(each(value))
    current_run.get().spend(len(known) * max(1, len(known).bit_length() // 2))
    return known


def _as_it_is(value: object, *_args: object, **_kwargs: object) -> object:
    return compared(value)


def _in_steps(value: object, steps: object = 0, *_args: object, **kwargs: object) -> list[Any]:
    for wanted in (steps, *kwargs.values()):
        if isinstance(wanted, int) and wanted > STEP_LIMIT:
            raise Refused(f"batch and slice end at {STEP_LIMIT}")
    return _as_list(value)


def _rounded(value: object, precision: object = 0, *_args: object, **kwargs: object) -> object:
    if abs(int(cast("int", admitted(kwargs.get("precision", precision))))) > 30:
        raise Refused("round ends at 30 digits")
    return _as_scalar(value)


def _summed(value: object, _attribute: object = None, start: object = 0, **kwargs: object) -> list[Any]:
    if not isinstance(kwargs.get("start", start), (int, float, Decimal)):
        raise Refused("sum starts with a number")
    return _as_list(value)


def _mapped(value: object, *_args: object, **kwargs: object) -> list[Any]:
    if "default" in kwargs:
        text(kwargs["default"])
    return _as_list(value)


def _stripped(value: object, *_args: object, **_kwargs: object) -> str:
    known = _as_text(value)
    # Each comment is cut out by copying the rest.
    current_run.get().spend(known.count("<!--") * len(known) // 512)
    return known


def _default(value: Any, fallback: Any = "", boolean: bool = False) -> Any:
    """Return `fallback` for what is missing or empty (None); with `boolean`, for whatever is false."""
    absent = value is None or isinstance(value, Undefined) or (boolean and not value)
    return fallback if absent else value


def _length(value: Any) -> int:
    """Return how many there are of a list, a record's fields or a text's characters."""
    return len(value) if isinstance(value, (str, dict, list, tuple, range, Undefined)) else len(_as_list(value))


def _indent(value: object, width: int = 4, first: bool = False, blank: bool = False) -> str:
    """Return a text with its lines moved in by up to 100 blanks."""
    if not isinstance(width, int) or not 0 <= width <= INDENT_LIMIT:
        raise Refused(f"indent is a number up to {INDENT_LIMIT}")
    known = text(value)
    current_run.get().spend_chars(len(known) + known.count("\n") * width)
    lines = known.split("\n")
    moved = [" " * width + line if (line or blank) and (index or first) else line for index, line in enumerate(lines)]
    return type(known)("\n".join(moved)) if isinstance(known, Markup) else "\n".join(moved)


def _counted(function: Any) -> Callable[..., Any]:
    """Wrap one of Jinja's comparing tests so that what it compares is counted."""

    @wraps(function)
    def counted(*args: Any) -> Any:
        return function(*(compared(argument) for argument in args))

    return counted


def _taken(guard: Callable[..., Any], *names: str) -> dict[str, Callable[..., Any]]:
    return {name: _guarded(FILTERS[name], guard) for name in names}


SAFE_FILTERS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        **_taken(_as_text, "capitalize", "e", "escape", "lower", "safe", "string", "title", "trim", "truncate"),
        **_taken(_as_text, "upper", "urlencode"),
        **_taken(_as_scalar, "abs", "filesizeformat", "float", "int"),
        **_taken(_as_list, "first", "groupby", "last", "list", "max", "min", "reverse", "sort", "unique"),
        **_taken(_as_list, "reject", "rejectattr", "select", "selectattr"),
        **_taken(_in_steps, "batch", "slice"),
        **_taken(_as_it_is, "dictsort", "items"),
        **_taken(_mapped, "map"),
        **_taken(_rounded, "round"),
        **_taken(_stripped, "striptags"),
        **_taken(_summed, "sum"),
        "count": _length,
        "d": _default,
        "default": _default,
        "indent": _indent,
        "join": plain.joined,
        "length": _length,
        "replace": plain.replaced,
    }
)

_PLAIN_TESTS = (
    *("boolean", "defined", "divisibleby", "escaped", "even", "false", "float", "integer", "iterable", "lower"),
    *("mapping", "none", "number", "odd", "sequence", "string", "true", "undefined", "upper"),
)
_COMPARISONS = (operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge)

SAFE_TESTS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        **{name: cast("Callable[..., Any]", TESTS[name]) for name in _PLAIN_TESTS},
        **{name: _counted(function) for name, function in TESTS.items() if function in _COMPARISONS},
        "in": _counted(TESTS["in"]),
    }
)
