"""The methods of a model that programs may call: what each takes, and what it returns as JSON.

Anything that is not marked, is private, or comes from the ORM is not there at all.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from datetime import timedelta
from enum import Enum
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, create_model
from pydantic import ValidationError as PydanticError
from tortoise.models import Model

from core.access import Right
from core.access.method import ApiMark, mark_of
from core.access.scope import Scope
from core.errors import UnknownName
from core.web.problem import Fault
from core.web.record_faults import InvalidRecord, fault, step
from core.web.record_read import named, plain

_KEPT = "_api_methods"


@dataclass(frozen=True, slots=True)
class ApiMethod:
    """One method that may be called: with `right` on the record (or model), by a token with `scope`.

    `arguments` is what its signature takes. It is a method `of_model` where it needs no record.
    """

    name: str
    title: str
    right: Right
    scope: Scope
    of_model: bool
    arguments: type[BaseModel]

    def read(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return arguments of their types; InvalidRecord with all that is wrong with them."""
        try:
            read = self.arguments.model_validate(given)
        except PydanticError as error:
            raise InvalidRecord(list(_faults(error))) from None
        return {name: getattr(read, name) for name in read.model_fields_set}


def api_methods(model: Any) -> Mapping[str, ApiMethod]:
    """Return the methods of a model that may be called, by name; kept with the model, and so with its host."""
    methods: Mapping[str, ApiMethod] | None = vars(model).get(_KEPT)
    if methods is None:
        methods = {one.name: one for one in _marked(model)}
        setattr(model, _KEPT, methods)
    return methods


def api_method_of(model: Any, name: str, *, of_model: bool) -> ApiMethod:
    """Return one of them; UnknownName where there is none of this name and kind."""
    method = api_methods(model).get(name)
    if method is None or method.of_model != of_model:
        what = "model" if of_model else "record"
        raise UnknownName(f"{model.__name__} has no method of this name that may be called on a {what}.")
    return method


def plain_result(value: Any) -> Any:
    """Return what a method returned as JSON holds it; TypeError for what JSON has no form for, such as bytes."""
    if isinstance(value, Model):
        return named(value)
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if is_dataclass(value) and not isinstance(value, type):
        return plain_result(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain_result(one) for key, one in value.items()}
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Enum):
        return plain_result(value.value)
    if isinstance(value, set | frozenset) or (isinstance(value, Sequence) and not isinstance(value, str | bytes)):
        return [plain_result(one) for one in value]
    told = plain(value)
    if told is None or isinstance(told, str | int | float | bool):
        return told
    raise TypeError(f"a method for HTTP returned {type(value).__name__}; return plain data")


def _marked(model: Any) -> Iterator[ApiMethod]:
    for name in dir(model):
        if name.startswith("_") or hasattr(Model, name):
            continue
        method = inspect.getattr_static(model, name)
        function = method.__func__ if isinstance(method, classmethod) else method
        mark = _nearest_mark(model, name)
        if mark is not None:
            of_model = isinstance(method, classmethod)
            arguments = _arguments(f"{model.__name__}_{name}", function)
            yield ApiMethod(name, mark.title, mark.right, mark.scope, of_model, arguments)


def _nearest_mark(model: Any, name: str) -> ApiMark | None:
    """Return the mark of a method, or of the one that it overrides: who extends a model hides nothing by it."""
    named_so = (vars(one)[name] for one in model.__mro__ if name in vars(one))
    marks = (mark_of(getattr(one, "__func__", one)) for one in named_so)
    return next((mark for mark in marks if mark is not None), None)


def _arguments(name: str, function: Callable[..., Any]) -> type[BaseModel]:
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {
        parameter.name: (hints[parameter.name], ... if parameter.default is parameter.empty else parameter.default)
        for parameter in list(inspect.signature(function).parameters.values())[1:]
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    return create_model(name, __config__=ConfigDict(extra="forbid", arbitrary_types_allowed=True), **fields)


def _faults(error: PydanticError) -> Iterator[Fault]:
    for one in error.errors(include_url=False, include_context=False, include_input=False)[:20]:
        yield fault("".join(step(str(part)[:100]) for part in one["loc"]), one["msg"])
