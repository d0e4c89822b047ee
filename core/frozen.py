"""Frozen dataclasses with slots, made in a third of the time.

For each class the standard library writes, parses and compiles six functions; over the hundreds of a host that is a
sixth of the start of a command. Here `__init__` alone is written, and what else such a class can do is shared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field, fields
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform, overload

_Class = TypeVar("_Class", bound=type)


@overload
def frozen(cls: _Class, /) -> _Class: ...
@overload
def frozen(*, kw_only: bool = False) -> Callable[[_Class], _Class]: ...
@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: Any = None, /, *, kw_only: bool = False) -> Any:
    """Make of a class what `dataclass(frozen=True, slots=True)` does; what the class defines itself, it keeps.

    A field with `init=False` is set by `__post_init__`. What derives from it is `frozen` again.
    """
    return (lambda declared: _made(declared, kw_only)) if cls is None else _made(cls, kw_only)


def _made(cls: type, kw_only: bool) -> type:
    cls.__doc__ = cls.__doc__ or cls.__name__  # Else one is made of the signature, which takes longest of all.
    made: type = dataclass(init=False, repr=False, eq=False, slots=True, kw_only=kw_only)(cls)
    parts = fields(made)
    compared = _getter(one.name for one in parts if one.compare)
    hashed = _getter(one.name for one in parts if (one.compare if one.hash is None else one.hash))
    shown = [one.name for one in parts if one.repr]

    def is_equal(self: Any, other: Any) -> Any:
        return compared(self) == compared(other) if other.__class__ is self.__class__ else NotImplemented

    def hash_of(self: Any) -> int:
        return hash(hashed(self))

    def show(self: Any) -> str:
        return f"{self.__class__.__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

    shared = {
        "__init__": _initialiser(made, [one for one in parts if one.init]),
        "__eq__": is_equal,
        "__hash__": hash_of,
        "__repr__": show,
        "__setattr__": _refuse,
        "__delattr__": _refuse,
        "__setstate__": _restore,
    }
    for name, function in shared.items():
        if vars(cls).get(name) is None:
            setattr(made, name, function)
    return made


def _getter(names: Iterable[str]) -> Callable[[Any], Any]:
    known = tuple(names)
    return attrgetter(*known) if known else lambda _: ()


def _initialiser(made: type, parts: list[Field[Any]]) -> Callable[..., None]:
    """Write `__init__`, the one function that is called so often that it must not be shared."""
    makers = {one.name: one.default_factory for one in parts if one.default_factory is not MISSING}
    plain = [one for one in parts if not one.kw_only]
    named = [one for one in parts if one.kw_only]
    parameters = ["self", *(one.name for one in plain), *(["*"] if named else ()), *(one.name for one in named)]
    taken = {name: f"_makers[{name!r}]() if {name} is _MISSING else {name}" for name in makers}
    lines = [f"_put(self, {one.name!r}, {taken.get(one.name, one.name)})" for one in parts]
    if hasattr(made, "__post_init__"):
        lines.append("self.__post_init__()")
    names: dict[str, Any] = {"_put": object.__setattr__, "_makers": makers, "_MISSING": MISSING}
    exec(f"def __init__({', '.join(parameters)}):\n " + "\n ".join(lines or ["pass"]), names)  # noqa: S102 - of names alone
    made_init: Any = names["__init__"]
    made_init.__defaults__ = tuple(one.default for one in plain if _is_optional(one))
    made_init.__kwdefaults__ = {one.name: one.default for one in named if _is_optional(one)}
    made_init.__annotations__ = {one.name: one.type for one in parts} | {"return": None}
    made_init.__qualname__ = f"{made.__qualname__}.__init__"
    return made_init  # type: ignore[no-any-return]


def _is_optional(part: Field[Any]) -> bool:
    return part.default is not MISSING or part.default_factory is not MISSING


def _refuse(self: object, name: str, *_: object) -> None:
    raise FrozenInstanceError(f"{self.__class__.__name__}.{name} cannot be changed")


def _restore(self: object, state: tuple[None, dict[str, Any]]) -> None:
    """Take what a copy or an unpickled one holds."""
    for name, held in state[1].items():
        object.__setattr__(self, name, held)
