"""What can be wrong with records that a program sends: each fault with its place, and what stands in the way.

Places are JSON pointers (RFC 6901) into the body of the request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tortoise.exceptions import IntegrityError, ValidationError

from core.errors import ConfigError, PostroomError, UserError
from core.pattern import pattern
from core.runtime import runtime
from core.web.problem import Fault

_NAMED_FIELD = pattern(r"(\w{1,100}): ")
_SQLITE = pattern(r"(UNIQUE|NOT NULL) constraint failed: (.{1,2000})", re.DOTALL)
_POSTGRES_KEY = pattern(r"Key \(([^()]{1,500})\)=")
_REFERENCED = pattern(r'still referenced from table "([^"]{1,100})"')


class InvalidRecord(UserError):
    """Values that do not fit their fields; `faults` say which, and where they stand."""

    code = "invalid"

    def __init__(self, faults: Sequence[Fault]):
        self.faults = tuple(faults)
        super().__init__("; ".join(f"{fault.pointer or 'the body'}: {fault.detail}" for fault in faults))


class Conflict(UserError):
    """What is asked for does not go with what is stored."""

    code = "conflict"

    def __init__(self, detail: str, faults: Sequence[Fault] = ()):
        self.faults = tuple(faults)
        super().__init__(detail)


class StaleRecord(PostroomError):
    """The record is another one by now than the caller thinks; `tag` is its present ETag."""

    code = "stale"

    def __init__(self, tag: str):
        self.tag = tag
        super().__init__(f"The record was changed since it was read; its ETag is {tag} now. Read it again.")


def fault(pointer: str, detail: str) -> Fault:
    """Return one thing that is wrong with the body."""
    return Fault(part="body", pointer=pointer, detail=detail)


def invalid(pointer: str, detail: str) -> InvalidRecord:
    """Return the error for one fault."""
    return InvalidRecord([fault(pointer, detail)])


def step(name: object) -> str:
    """Return a name as one step of a JSON pointer."""
    return "/" + str(name).replace("~", "~0").replace("/", "~1")


@contextmanager
def told_apart(model: Any, at: str = "") -> Iterator[None]:
    """Tell what a model's `save`, or the database, refuses within the block by the field that it is about.

    `at` is where the record stands in the body.
    """
    try:
        yield
    except IntegrityError as error:
        raise _clash(model, error, at) from error
    except ConfigError as error:
        raise invalid(at, str(error)) from error
    except ValidationError as error:
        named = _NAMED_FIELD.match(str(error))
        name = named[1] if named and named[1] in model._meta.fields_map else ""
        raise invalid(at + (step(name) if name else ""), str(error)) from error


def _clash(model: Any, error: IntegrityError, at: str) -> UserError:
    cause: Any = error.args[0] if error.args else error
    kind, columns = _read_clash(cause)
    names = [_field_of(model, column) for column in columns]
    shown = " and ".join(names)
    faults = [fault(at + step(name), f"{kind} is broken here") for name in names if name]
    if kind == "not null":
        return InvalidRecord([fault(at + step(name), "must have a value") for name in names])
    if kind == "unique":
        return Conflict(f"Another {model.__name__} has the same {shown}; choose another value.", faults)
    if held := _REFERENCED.search(str(getattr(cause, "detail", "") or "")):
        return Conflict(f"{_model_of(held[1])} records still point at it; change or delete them first.")
    words = f"{shown or 'It'} points at a record that is gone, or others still point at it."
    return Conflict(words[0].upper() + words[1:], faults)


def _read_clash(cause: Any) -> tuple[str, list[str]]:
    """Return which kind of constraint was broken, and the columns that it is on, as far as the database says."""
    if found := _SQLITE.match(str(cause)):
        return found[1].lower(), [one.strip().rpartition(".")[2] for one in found[2].split(",")]
    if column := getattr(cause, "column_name", None):
        return "not null", [column]
    keys = _POSTGRES_KEY.match(str(getattr(cause, "detail", "") or ""))
    kind = "unique" if type(cause).__name__ == "UniqueViolationError" else "foreign key"
    return kind, [one.strip().strip('"') for one in keys[1].split(",")] if keys else []


def _field_of(model: Any, column: str) -> str:
    """Return the field that a column belongs to: `contact` for `contact_id`."""
    fields = model._meta.fields_map
    return next((name for name in model._meta.fk_fields if fields[name].source_field == column), column)


def _model_of(table: str) -> str:
    models = (entry.model for entry in runtime().registry if entry.model is not None)
    return next((model.__name__ for model in models if model._meta.db_table == table), table)
