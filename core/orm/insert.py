"""Making and inserting many records at the speed of the database, each with the id it got.

The ORM's constructor looks at every field of every record anew, and its `bulk_create` gives no ids back; what depends
on the model alone is worked out once here. No `save` of a model runs, so it is for rows that no addon is asked about
one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache, partial
from operator import itemgetter
from typing import Any

from tortoise.exceptions import ValidationError
from tortoise.fields import BigIntField, BooleanField, CharField, FloatField, IntField, TextField

from core.orm.database import Database
from core.orm.fields import JSONField, SelectionField, as_json
from core.orm.statement import Statement

_MOST_PARAMETERS = 2_000
"""Both databases take some 30,000 in one statement, but long statements take longer to read than several short ones."""
_AS_IT_IS = (IntField, BigIntField, BooleanField, FloatField, TextField)
_Encode = Callable[[Any, Any], Any]


def new_record(model: Any, **values: Any) -> Any:
    """Return an unsaved record, all else at its default.

    Values are of the right type and by column attribute (`company_id`); nothing is checked before the insert.
    """
    plan = _plan(model)
    record = model.__new__(model)
    state = record.__dict__
    state.update(plan.blank)
    state["_await_when_save"] = {}
    state.update(values)
    for name, make in plan.made:
        if name not in values:
            state[name] = make()
    return record


async def insert_many(database: Database, records: Sequence[Any]) -> None:
    """Store new records, all of one model; each then has its id and counts as saved."""
    if not records:
        return
    plan = _plan(_model_of(records))
    at_once = max(1, _MOST_PARAMETERS // len(plan.columns))
    for start in range(0, len(records), at_once):
        part = records[start : start + at_once]
        statement = insertion(database, part)
        take_ids(part, await database.fetch(statement.sql, statement.params))


def insertion(database: Database, records: Sequence[Any]) -> Statement:
    """Return the statement that inserts records of one model, and returns their ids; `take_ids` hands these out."""
    model = _model_of(records)
    plan = _plan(model)
    sql = _sql(model, len(records), database.dialect.name == "sqlite")
    return Statement(sql, [value for one in records for value in plan.row(one)])


def _model_of(records: Sequence[Any]) -> Any:
    return type(records[0])


def take_ids(records: Sequence[Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """Give inserted records their ids; each then counts as saved."""
    # Ids are given out in the order of the rows; in which order they are told, no database promises.
    for one, row_id in zip(records, sorted(row["id"] for row in rows), strict=True):
        one.pk = row_id
        one._saved_in_db = True


@dataclass(frozen=True, slots=True)
class _Plan:
    """What inserting needs to know of a model. `blank` is what an untouched record holds, `made` is made for each.

    `stamps` are the columns that the insert itself gives a value, `encoders` make a value one of its column's.
    """

    columns: tuple[str, ...]
    values: Callable[[Mapping[str, Any]], tuple[Any, ...]]
    stamps: tuple[tuple[int, _Encode], ...]
    encoders: tuple[tuple[int, _Encode], ...]
    blank: Mapping[str, Any]
    made: tuple[tuple[str, Callable[[], Any]], ...]

    def row(self, record: Any) -> list[Any]:
        row = list(self.values(record.__dict__))
        for at, encode in self.stamps:
            row[at] = encode(row[at], record)
        for at, encode in self.encoders:
            if row[at] is not None:
                row[at] = encode(row[at], record)
        return row


@lru_cache(maxsize=1024)
def _plan(model: Hashable) -> _Plan:
    meta: Any = model._meta  # type: ignore[attr-defined]
    names = [name for name in meta.fields_db_projection if name != meta.pk_attr]
    of_name = {name: meta.fields_map[name] for name in names}
    fields = [(at, of_name[name]) for at, name in enumerate(names)]
    blank = {"_partial": False, "_saved_in_db": False, "_custom_generated_pk": False, meta.pk_attr: None}
    made = {}
    for name, field in of_name.items():
        if callable(field.default):
            made[name] = field.default
        elif isinstance(field.default, (list, dict, set)):
            made[name] = partial(deepcopy, field.default)
        else:
            blank[name] = field.default
    return _Plan(
        columns=tuple(meta.fields_db_projection[name] for name in names),
        values=itemgetter(*names),
        stamps=tuple((at, field.to_db_value) for at, field in fields if _is_stamped(field)),
        encoders=tuple((at, _encoder(field)) for at, field in fields if not (_is_stamped(field) or _is_kept(field))),
        blank=blank,
        made=tuple(made.items()),
    )


def _is_stamped(field: Any) -> bool:
    return bool(getattr(field, "auto_now_add", False) or getattr(field, "auto_now", False))


def _is_kept(field: Any) -> bool:
    """Whether every value of the right type is one of the column's."""
    return type(field) in _AS_IT_IS


def _encoder(field: Any) -> _Encode:
    """Return what makes a value, which is not None, one of the column's."""
    if type(field) is CharField:
        return partial(_short_text, field)
    if type(field) is SelectionField:
        return partial(_choice, field)
    if type(field) is JSONField and field.encoder is as_json:
        return partial(_text_of_json, field)
    encode: _Encode = field.to_db_value
    return encode


def _short_text(field: Any, value: Any, _: Any) -> Any:
    if len(value) > field.max_length:
        name, most = field.model_field_name, field.max_length
        raise ValidationError(f"{name}: {len(value)} characters, and at most {most} are kept")
    return value


def _choice(field: Any, value: Any, record: Any) -> Any:
    return value if value in field.choices else field.to_db_value(value, record)


def _text_of_json(field: Any, value: Any, record: Any) -> Any:
    return as_json(value) if isinstance(value, (list, dict)) else field.to_db_value(value, record)


@lru_cache(maxsize=1024)
def _sql(model: Hashable, count: int, is_sqlite: bool) -> str:
    plan, meta = _plan(model), model._meta  # type: ignore[attr-defined]
    width = len(plan.columns)
    if is_sqlite:
        # Numbered places are looked up among all that came before; these are not.
        places = ", ".join([f"({', '.join('?' * width)})"] * count)
    else:
        places = ", ".join(
            f"({', '.join(f'${first + at}' for at in range(width))})" for first in range(1, count * width + 1, width)
        )
    columns = ", ".join(f'"{column}"' for column in plan.columns)
    return f'INSERT INTO "{meta.db_table}" ({columns}) VALUES {places} RETURNING "{meta.db_pk_column}" AS id'
