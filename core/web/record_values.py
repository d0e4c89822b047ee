"""The values that a program sends for a record: each checked by its field, every fault told at once with its place.

Whether references lead to records that the caller may read is asked by `record_changes`; that no text holds what a
database cannot store was seen to when the request was read.

A relation is an id, or an object with one, as it is read. To-many is a list of ids, or `{"add": [...], "remove":
[...]}`, or `{"set": [...]}`. The lines of a record are a list of objects, of which those with an `id` are changed,
those without are made, and those not named are deleted; or `{"add": [...], "update": [...], "remove": [ids]}`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, Field, StrictBool, StringConstraints, TypeAdapter
from pydantic import ValidationError as PydanticError

from core.access import Access, Right
from core.errors import did_you_mean
from core.web.parameters import LARGEST
from core.web.problem import Fault
from core.web.record_faults import InvalidRecord, fault, step
from core.web.record_shape import FieldShape, shape_of, writable

MOST_LINKED = 1_000
_LINKS = frozenset({"add", "remove", "set"})
_LINES = frozenset({"add", "update", "remove"})
_KEPT = "_field_adapters"


@dataclass(frozen=True, slots=True)
class Reference:
    """Records of another model that are pointed at; `attribute` keeps the id of one, and is empty for many."""

    place: str
    model: Any
    ids: tuple[int, ...]
    attribute: str = ""


@dataclass(frozen=True, slots=True)
class Links:
    """What becomes of a to-many relation: `whole` replaces it, where it is not None; else ids come and go."""

    whole: tuple[int, ...] | None = None
    add: tuple[int, ...] = ()
    remove: tuple[int, ...] = ()

    @property
    def named(self) -> tuple[int, ...]:
        """The records that will be linked to."""
        return (*(self.whole or ()), *self.add)


@dataclass(frozen=True, slots=True)
class Lines:
    """What becomes of a record's lines; with `is_whole`, those that are not named are deleted."""

    add: tuple[Values, ...] = ()
    update: tuple[Values, ...] = ()
    remove: tuple[int, ...] = ()
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class Values:
    """What is to be written to one record: `columns` by the attribute that keeps them, relations by name.

    `record_id` is None for a new one. `place` is where it stands in the body.
    """

    model: Any
    place: str
    record_id: int | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)
    references: Sequence[Reference] = ()
    links: Mapping[str, Links] = field(default_factory=dict)
    lines: Mapping[str, Lines] = field(default_factory=dict)

    @property
    def stored_id(self) -> int:
        """The id of the record that is changed."""
        assert self.record_id is not None, "the values are a new record's"
        return self.record_id

    @property
    def is_plain(self) -> bool:
        """Whether the record's own row is all there is."""
        return not self.links and not self.lines


def read_values(
    access: Access, model: Any, body: object, *, is_new: bool, place: str = "", record_id: int | None = None
) -> Values:
    """Check what was sent for one record; InvalidRecord tells all faults, AccessDenied a field that is gated."""
    faults: list[Fault] = []
    values = _Reading(access, faults).record(model, body, is_new=is_new, place=place, record_id=record_id)
    if faults:
        raise InvalidRecord(faults)
    return values


def json_schema(shape: FieldShape) -> dict[str, Any]:
    """Return what a field takes, as JSON Schema; empty for a relation to many."""
    return {} if shape.is_to_many else _adapter(shape).json_schema()


@dataclass(frozen=True, slots=True)
class _Reading:
    access: Access
    faults: list[Fault]

    def record(
        self, model: Any, body: object, *, is_new: bool, place: str, record_id: int | None = None, given_by: str = ""
    ) -> Values:
        """Read one record; `given_by` is the field that its whole fills in."""
        if not isinstance(body, dict):
            self._note(place, f"must be an object with the fields of {model.__name__}")
            return Values(model, place)
        columns: dict[str, Any] = {}
        references: list[Reference] = []
        links: dict[str, Links] = {}
        lines: dict[str, Lines] = {}
        for name, value in body.items():
            at = place + step(name)
            shape = self._shape(model, name, at) if name != given_by else None
            if shape is None:
                if name == given_by:
                    self._note(at, "is filled in with the record that this is a line of; leave it out")
            elif shape.is_lines:
                lines[name] = self._lines(shape, value, at)
            elif shape.is_to_many:
                links[name] = self._links(value, at)
                references.append(Reference(at, shape.related, links[name].named))
            else:
                columns[shape.attribute] = self._column(shape, value, at)
                if shape.is_to_one and columns[shape.attribute] is not None:
                    references.append(Reference(at, shape.related, (columns[shape.attribute],), shape.attribute))
        if is_new:
            self._miss(model, body, place, given_by)
        return Values(model, place, record_id, columns, references, links, lines)

    def _shape(self, model: Any, name: str, at: str) -> FieldShape | None:
        known = shape_of(model)
        shape = known.get(name)
        if shape is None:
            # What is far from all names is not repeated: it may be anything.
            self._note(at, f"is no field of {model.__name__}.{did_you_mean(name[:100], known)}")
        elif not shape.may_write:
            self._note(at, "cannot be written")
        elif name not in writable(self.access, model):
            self.access.require_field(model.__name__, name, Right.WRITE)
        else:
            return shape
        return None

    def _miss(self, model: Any, body: Mapping[str, Any], place: str, given_by: str) -> None:
        for name, shape in shape_of(model).items():
            if shape.is_required and name not in body and name != given_by:
                self._note(place + step(name), f"is missing; a {model.__name__} cannot be without it")

    def _column(self, shape: FieldShape, value: object, at: str) -> Any:
        if shape.is_to_one and isinstance(value, dict) and "id" in value:
            value = value["id"]
        try:
            return _adapter(shape).validate_python(value)
        except PydanticError as error:
            for one in error.errors(include_url=False, include_context=False, include_input=False)[:3]:
                inside = one["loc"] if shape.type == "json" else ()
                self._note(at + "".join(map(step, inside)), one["msg"])
        return None

    def _links(self, value: object, at: str) -> Links:
        if isinstance(value, list):
            return Links(whole=self._ids(value, at))
        if not isinstance(value, dict) or not value or value.keys() - _LINKS:
            self._note(at, 'must be a list of ids, or an object with "add" and "remove", or with "set"')
            return Links()
        ids = {name: self._ids(some, at + step(name)) for name, some in value.items()}
        return Links(ids.get("set"), ids.get("add", ()), ids.get("remove", ()))

    def _ids(self, value: object, at: str) -> tuple[int, ...]:
        if not isinstance(value, list) or len(value) > MOST_LINKED:
            self._note(at, f"must be a list of at most {MOST_LINKED} ids")
            return ()
        ids: list[Any] = [one.get("id") if isinstance(one, dict) else one for one in value]
        for number, one in enumerate(ids):
            if not is_id(one):
                self._note(f"{at}/{number}", "must be the id of a record")
                return ()
        return tuple(dict.fromkeys(ids))

    def _lines(self, shape: FieldShape, value: object, at: str) -> Lines:
        if isinstance(value, list):
            given = {"all": value}
        elif isinstance(value, dict) and value and not value.keys() - _LINES:
            given = value
        else:
            self._note(at, 'must be a list of lines, or an object with "add", "update" and "remove"')
            return Lines()
        read: dict[str, list[Values]] = {"new": [], "stored": []}
        for word in given.keys() - {"remove"}:
            place = at if word == "all" else at + step(word)
            for number, line in enumerate(self._list(given[word], place)):
                values = self._line(shape, word, line, f"{place}/{number}")
                read["new" if values.record_id is None else "stored"].append(values)
        removed = self._ids(given.get("remove", []), at + "/remove")
        return Lines(tuple(read["new"]), tuple(read["stored"]), removed, is_whole="all" in given)

    def _line(self, shape: FieldShape, word: str, line: object, at: str) -> Values:
        own, line_id = line, None
        if isinstance(line, dict) and word != "add":
            own = {name: value for name, value in line.items() if name != "id"}
            line_id = line.get("id")
        if (line_id is not None or word == "update") and not is_id(line_id):
            self._note(at + "/id", "must be the id of a line")
        is_new, way_back = line_id is None, _way_back(shape)
        return self.record(shape.related, own, is_new=is_new, place=at, record_id=line_id, given_by=way_back)

    def _list(self, value: object, at: str) -> list[object]:
        if isinstance(value, list) and len(value) <= MOST_LINKED:
            return value
        self._note(at, f"must be a list of at most {MOST_LINKED}")
        return []

    def _note(self, place: str, detail: str) -> None:
        self.faults.append(fault(place, detail))


def _way_back(shape: FieldShape) -> str:
    """Return the field by which a line points at what it is a line of."""
    key = shape.column.relation_field
    return next((one.name for one in shape_of(shape.related).values() if one.is_to_one and one.attribute == key), key)


def is_id(value: object) -> bool:
    """Tell whether a value can be a record's id."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= LARGEST


# What a field takes.


def _adapter(shape: FieldShape) -> TypeAdapter[Any]:
    """Return what checks a field's values; kept with the field, and so with its host."""
    adapter: TypeAdapter[Any] | None = vars(shape.column).get(_KEPT)
    if adapter is None:
        taken = _KINDS[shape.type](shape.column)
        adapter = TypeAdapter(taken | None if shape.column.null else taken)
        setattr(shape.column, _KEPT, adapter)
    return adapter


def _whole(column: Any) -> Any:
    return Annotated[int, Field(strict=True, ge=column.constraints["ge"], le=column.constraints["le"])]


def _decimal(column: Any) -> Any:
    limits = Field(max_digits=column.max_digits, decimal_places=column.decimal_places, allow_inf_nan=False)
    return Annotated[Decimal, limits]


def _json(column: Any) -> Any:
    """Return what a JSON column takes: a list or an object where its default is one, and null where it may be."""
    return {list: list[Any], dict: dict[str, Any]}.get(column.default, Annotated[Any, AfterValidator(_not_null)])


def _not_null(value: Any) -> Any:
    if value is None:
        raise ValueError("must not be null")
    return value


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("is no time that can be told in UTC") from None


_KINDS: Mapping[str, Callable[[Any], Any]] = {
    "selection": lambda column: Literal[tuple(column.choices)],
    "line": lambda column: Annotated[str, StringConstraints(strict=True, max_length=column.max_length)],
    "text": lambda column: Annotated[str, StringConstraints(strict=True)],
    "secret": lambda column: Annotated[str, StringConstraints(strict=True)],
    "boolean": lambda column: StrictBool,
    "integer": _whole,
    "number": lambda column: Annotated[float, Field(strict=True, allow_inf_nan=False)],
    "decimal": _decimal,
    "datetime": lambda column: Annotated[AwareDatetime, AfterValidator(_in_utc)],
    "date": lambda column: date,
    "json": _json,
    "to-one": lambda column: Annotated[int, Field(strict=True, ge=1, le=LARGEST)],
}
