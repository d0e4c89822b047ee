"""Plain data: the only values that a template reads, prints, loops over or compares (SECURITY T1, T2, T4).

Dictionaries, lists, text, numbers, dates and None. Anything else that slips into a context is inert: it has no
attributes, cannot be called, printed or iterated, and its repr never reaches an error message.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from functools import partial
from typing import Any, NoReturn
from uuid import UUID

from jinja2 import Undefined
from jinja2.filters import _GroupTuple
from jinja2.runtime import LoopContext
from jinja2.utils import Namespace, missing
from markupsafe import Markup

from core.errors import did_you_mean
from core.pattern import pattern
from core.render.run import CHARS_PER_UNIT, Refused, current_run

RANGE_ITEMS = 10_000
INTEGER_BITS = 4_096
DECIMAL_DIGITS = 1_233
"""Before the point, as many as such an integer has: of a larger one, to make a whole number takes minutes."""
NAMES_SHOWN = 20
LONG_CHARS = 64

_SCALARS = (str, int, float, Decimal, dt.date, dt.time, dt.timedelta, UUID)
_PRINTED_AS_IS = frozenset({str, Markup, int, bool, Decimal, float, dt.date, dt.datetime})
_VIEWS: tuple[type, ...] = (type({}.keys()), type({}.values()), type({}.items()))
_LOOPABLE = (list, tuple, dict, str, range, *_VIEWS)


class Missing(Undefined):
    """A name or field that the data does not have.

    Printed or looped over it is blank and noted in the run, or an error in a strict run; whatever is asked of it in
    turn is missing too. Only `is defined` and `default` look at it without using it.
    """

    __slots__ = ()

    def path(self) -> str:
        base = self._undefined_obj
        name = str(self._undefined_name)
        return f"{base.path()}.{name}" if isinstance(base, Missing) else name

    def use(self) -> None:
        run = current_run.get()
        if run.strict:
            self._fail()
        # What has a hint, such as the item before the first, is nothing that the data should have had.
        if not self._undefined_hint:
            run.missing[self.path()] = None

    def _fail(self, *_args: object, **_kwargs: object) -> NoReturn:
        if self._undefined_hint:
            raise Refused(self._undefined_hint)
        root: Any = self
        while isinstance(root._undefined_obj, Missing):
            root = root._undefined_obj
        owner, name = root._undefined_obj, str(root._undefined_name)
        if owner is missing:
            names = sorted(current_run.get().names)
            raise MissingName(f'nothing here is named "{name}".{did_you_mean(name, names)}{_known(names)}', name)
        if isinstance(owner, dict):
            names = sorted(map(str, owner))
            raise MissingName(f'the record has no field "{name}".{did_you_mean(name, names)}{_known(names)}', name)
        raise MissingName(f'{kind(owner)} has no "{name}".', name)

    def __str__(self) -> str:
        self.use()
        return ""

    def __iter__(self) -> Iterator[Any]:
        self.use()
        return iter(())

    def __len__(self) -> int:
        self.use()
        return 0

    def __bool__(self) -> bool:
        if current_run.get().strict:
            self._fail()
        return False

    def __eq__(self, other: object) -> bool:
        if current_run.get().strict:
            self._fail()
        return isinstance(other, Undefined)

    def __hash__(self) -> int:
        return hash(Missing)

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _fail
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = _fail
    __pos__ = __neg__ = __call__ = __getitem__ = __lt__ = __le__ = __gt__ = __ge__ = _fail
    __int__ = __float__ = __complex__ = _fail


class MissingName(Refused):
    """A strict run met a name that the data does not have."""

    def __init__(self, message: str, name: str):
        self.name = name
        super().__init__(message)


class Method(partial[Any]):
    """A method of plain data that a template may call."""


def kind(value: object) -> str:
    """Return what a value is, in an author's words and never by its repr."""
    for types, words in (
        (type(None), "an empty value"),
        (dict, "a record"),
        ((list, tuple, range, *_VIEWS), "a list"),
        (str, "a text"),
        (bool, "a yes-or-no value"),
        ((int, float, Decimal), "a number"),
        ((dt.date, dt.time, dt.timedelta), "a date or time"),
    ):
        if isinstance(value, types):
            return words
    return "an object"


def printed(value: object) -> object:
    """Return a value as it is put out: None is blank, records and lists are refused."""
    known = value if type(value) in _PRINTED_AS_IS else text(value)
    if isinstance(known, str) and len(known) > LONG_CHARS:
        current_run.get().spend_chars(len(known))
    return known


def text(value: object) -> str:
    """Return a scalar as text; markup stays markup."""
    if isinstance(value, str):
        return value
    # Jinja's own Undefined is the missing `else` of an inline `if`.
    if value is None or type(value) is Undefined:
        return ""
    if isinstance(value, (*_SCALARS, Missing)):
        return str(value)
    if isinstance(value, (list, tuple, range, *_VIEWS)):
        raise Refused("a list cannot be printed as it is: loop over it, or join it")
    raise Refused(f"{kind(value)} cannot be printed as it is: print one of its fields")


def each(value: object) -> Iterator[Any]:
    """Iterate over plain data, each step counted; None is an empty list."""
    if value is None:
        return
    if not isinstance(value, Iterable) or not isinstance(value, (*_LOOPABLE, Undefined)):
        raise Refused(f"{kind(value)} cannot be looped over")
    spend = current_run.get().spend
    for item in value:
        spend()
        yield item


def admitted(value: Any) -> Any:
    """Return a value made by the template once its whole size is counted; lazy ones become lists.

    What is nested is counted as often as it is reachable, so a list of lists of itself costs what printing it would.
    """
    if isinstance(value, str):
        current_run.get().spend_chars(len(value))
        return value
    if isinstance(value, int):
        if value.bit_length() > INTEGER_BITS:
            raise Refused("the number is too big")
        return value
    if isinstance(value, Decimal) and value.is_finite() and value.adjusted() > DECIMAL_DIGITS:
        raise Refused("the number is too big")
    if value is None or isinstance(value, (*_SCALARS, Undefined)):
        return value
    if not isinstance(value, (list, tuple, dict, range, *_VIEWS)):
        if not isinstance(value, Iterator):
            return value
        value = list(_counted(value))
    current_run.get().spend(_weight(value))
    return value


def compared(value: Any) -> Any:
    """Return a value that is about to be compared, its size counted."""
    return admitted(value) if isinstance(value, (list, tuple, dict, str, range, *_VIEWS)) else value


def attribute(value: Any, name: str) -> Any:
    """Return a field of a record or an allowed attribute of a scalar; a field of None is None."""
    if isinstance(value, dict):
        if name in value:
            return value[name]
    elif value is None:
        return None
    elif isinstance(value, LoopContext):
        if name in _LOOP_ATTRIBUTES:
            return getattr(value, name)
        if name in ("cycle", "changed"):
            return Method(getattr(value, name))
    elif isinstance(value, Namespace) and not name.startswith("_"):
        return getattr(value, name) if hasattr(value, name) else Missing(obj=value, name=name)
    if name.startswith("__"):
        raise Refused(f'"{name}" is not data')
    for owner, names in _ATTRIBUTES:
        if isinstance(value, owner) and name in names:
            return getattr(value, name)
    for owner, methods in _METHODS:
        if isinstance(value, owner) and name in methods:
            return Method(methods[name], value)
    return Missing(obj=value, name=name)


def item(value: Any, key: Any) -> Any:
    """Return what `value[key]` means for plain data."""
    if isinstance(value, dict):
        if isinstance(key, (list, dict, tuple)):
            raise Refused(f"{kind(key)} cannot be a key")
        if key in value:
            return value[key]
    elif isinstance(value, (list, tuple, str, range)) and isinstance(key, int):
        return value[key] if -len(value) <= key < len(value) else Missing(obj=value, name=str(key))
    return attribute(value, str(key)) if isinstance(key, (str, int)) else Missing(obj=value, name="that key")


def replaced(value: object, old: object, new: object, count: int | None = None) -> str:
    """Return a text with `old` replaced by `new`, its size counted beforehand."""
    subject, before, after = text(value), text(old), text(new)
    current_run.get().spend_chars(len(subject) + subject.count(before) * len(after) * 5)
    return subject.replace(before, after, -1 if count is None else count)


def joined(value: object, separator: object = "", attribute: object = None) -> str:
    """Return the items of a list (or that field of each) as one text."""
    between = text(separator)
    parts = [text(entry if attribute is None else dig(entry, attribute)) for entry in each(value)]
    run = current_run.get()
    run.spend_chars(sum(map(len, parts)) + len(between) * len(parts))
    if run.escape and (isinstance(between, Markup) or any(isinstance(part, Markup) for part in parts)):
        return Markup.escape(between).join(parts)
    return between.join(parts)


def concatenated(parts: Iterable[object]) -> str:
    """Return what `a ~ b` means."""
    return joined(list(parts))


def dig(value: Any, path: object) -> Any:
    """Return the field that a dotted path names."""
    for step in str(path).split("."):
        value = item(value, int(step) if step.isdecimal() and len(step) < 6 else step)
    return value


def formatted(pattern: str, arguments: object) -> str:
    """Return what `pattern % arguments` means; widths end at 99 and only scalars go in."""
    if _FORMAT_SPEC.sub("", pattern).count("%"):
        raise Refused('only simple places such as "%s", "%(name)s", "%05d" and "%.2f" can be filled in')
    values: Iterable[object]
    if isinstance(arguments, dict):
        values = arguments.values()
    else:
        values = arguments if isinstance(arguments, tuple) else (arguments,)
    known = [admitted(entry) if isinstance(entry, (int, float, Decimal)) else text(entry) for entry in values]
    current_run.get().spend_chars(
        len(pattern) * 50 + sum(len(entry) for entry in known if isinstance(entry, str)) * pattern.count("%")
    )
    filled: object = dict(zip(arguments, known, strict=True)) if isinstance(arguments, dict) else tuple(known)
    return pattern % filled


def counting(*bounds: int) -> range:
    """Return `range(...)` of a bearable length."""
    numbers = range(*bounds)
    if len(numbers) > RANGE_ITEMS:
        raise Refused(f"range() ends at {RANGE_ITEMS} items")
    return numbers


def _known(names: list[str]) -> str:
    public = [name for name in names if not name.startswith("_")]
    if not public:
        return " Nothing is."
    more = ", ..." if len(public) > NAMES_SHOWN else ""
    return f" Known: {', '.join(public[:NAMES_SHOWN])}{more}."


def _counted(values: Iterable[Any]) -> Iterator[Any]:
    spend = current_run.get().spend
    for value in values:
        spend()
        yield value


def _weight(container: Any) -> int:
    """Count what hangs on a container, settling with the run on the way so that the count itself is bounded."""
    if isinstance(container, range):
        return 1
    run = current_run.get()
    weight, waiting = 0, [container]
    while waiting:
        values = waiting.pop()
        for value in values.values() if isinstance(values, dict) else values:
            weight += 1
            if isinstance(value, str):
                weight += len(value) // CHARS_PER_UNIT
            elif isinstance(value, (list, tuple, dict)):
                waiting.append(value)
        if weight > 1_000:
            run.spend(weight)
            weight = 0
    return weight


def _split(value: str, separator: str | None = None, most: int = -1) -> list[str]:
    return value.split(separator, most)


_FORMAT_SPEC = pattern(r"%(?:%|(?:\(\w+\))?[-+ 0#]{0,3}\d{0,2}(?:\.\d{0,2})?[sdifegxX%])")
_LOOP_ATTRIBUTES = frozenset(
    (
        *("index", "index0", "first", "last", "length", "revindex", "revindex0"),
        *("previtem", "nextitem", "depth", "depth0"),
    )
)
_ATTRIBUTES: tuple[tuple[type, frozenset[str]], ...] = (
    (_GroupTuple, frozenset({"grouper", "list"})),
    (dt.datetime, frozenset(["year", "month", "day", "hour", "minute", "second", "microsecond"])),
    (dt.date, frozenset(["year", "month", "day"])),
    (dt.time, frozenset(["hour", "minute", "second", "microsecond"])),
    (dt.timedelta, frozenset(["days", "seconds"])),
)
_METHODS: tuple[tuple[type, Mapping[str, Callable[..., Any]]], ...] = (
    (dict, {"get": dict.get, "items": dict.items, "keys": dict.keys, "values": dict.values}),
    (
        str,
        {
            **{name: getattr(str, name) for name in ("lower", "upper", "title", "capitalize")},
            **{name: getattr(str, name) for name in ("strip", "lstrip", "rstrip", "startswith", "endswith")},
            "replace": replaced,
            "split": _split,
        },
    ),
    (dt.datetime, {"date": dt.datetime.date, "time": dt.datetime.time}),
    (dt.date, {"isoformat": lambda value: value.isoformat(), "weekday": lambda value: value.weekday()}),
    (dt.timedelta, {"total_seconds": dt.timedelta.total_seconds}),
)
