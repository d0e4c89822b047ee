"""Making, changing and deleting records on behalf of a user, through the models' own `save` and `delete`.

Each runs in a transaction, the caller's or its own, and ends with the question whether what is stored is still within
the user's rules. Nothing here answers a request.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from tortoise.models import Model

from core.access import Access, Right
from core.audit import audit
from core.errors import AccessDenied, UnknownName
from core.orm.insert import insert_many
from core.orm.record import Record
from core.orm.transaction import transaction
from core.runtime import runtime
from core.web.problem import Fault
from core.web.record_faults import InvalidRecord, fault, told_apart
from core.web.record_shape import shape_of
from core.web.record_tags import check_match
from core.web.record_values import Lines, Links, Values

_NONE_STORED: Mapping[int, Any] = MappingProxyType({})


async def create_all(access: Access, many: Sequence[Values]) -> list[Any]:
    """Store new records of one model, all or none; in few statements where they have nothing but their rows."""
    model = many[0].model
    _require(access, model, Right.CREATE)
    async with transaction():
        await _check_references(access, many)
        made = [model(**_own_company(access, model, values.columns)) for values in many]
        if len(many) > 1 and all(one.is_plain for one in many) and _stores_many(model):
            with told_apart(model, many[0].place.rpartition("/")[0]):
                await _store_many(model, made)
        else:
            for record, values in zip(made, many, strict=True):
                await _store(access, record, values)
        await access.check_written(made, Right.CREATE, ())
    return made


async def update_all(access: Access, many: Sequence[Values], if_match: str | None = None) -> list[Any]:
    """Change records of one model, all or none, each named once; StaleRecord where one is none of `if_match`."""
    model = many[0].model
    async with transaction():
        records = await locked(access, model, [one.stored_id for one in many], Right.WRITE)
        await _check_references(access, many, records)
        for values in many:
            record = records[values.stored_id]
            await check_match(record, if_match)
            record.update_from_dict(dict(values.columns))
        changed = [records[one.stored_id] for one in many]
        if len(many) > 1 and all(one.is_plain for one in many) and model.save is Record.save:
            with told_apart(model, many[0].place.rpartition("/")[0]):
                await _write_many(model, changed, many)
        else:
            for record, values in zip(changed, many, strict=True):
                await _store(access, record, values)
        await access.check_written(changed, fields=())
    return changed


async def delete_all(access: Access, model: Any, ids: Sequence[int], if_match: str | None = None) -> None:
    """Delete records of one model, all or none."""
    async with transaction():
        records = await locked(access, model, ids, Right.DELETE)
        for record in records.values():
            await check_match(record, if_match)
        with told_apart(model):
            if len(ids) > 1 and model.delete is Model.delete:
                await model.filter(id__in=list(records)).delete()
            else:
                for record in records.values():
                    await record.delete()
        if not _writes_itself(model):
            for record in records.values():
                await audit("deleted", record)


async def locked(access: Access, model: Any, ids: Iterable[int], right: Right) -> dict[int, Any]:
    """Return records by id, which nobody else changes until the transaction ends; UnknownName for those that are not
    there, or not for this user.
    """
    _require(access, model, right)
    wanted = sorted(set(ids))
    # By their ids first, and in order: the user's rules may look at other tables, which must not be locked.
    await model.filter(id__in=wanted).order_by("id").select_for_update().only("id")
    found = await access.visible(await access.records(model.__name__, right).filter(id__in=wanted))
    records = {record.pk: record for record in found}
    for record_id in wanted:
        if record_id not in records:
            raise UnknownName(f"There is no {model.__name__} {record_id}.")
    return records


def _require(access: Access, model: Any, right: Right) -> None:
    access.require(model.__name__, right)
    if not getattr(model, "_written_over_http", True):
        raise AccessDenied(
            f"{model.__name__} is not written directly: it has paths of its own, or none but the host's."
        )


# One record.


async def _store(access: Access, record: Any, values: Values) -> None:
    with told_apart(type(record), values.place):
        await record.save()
        for name, links in values.links.items():
            await _link(getattr(record, name), links)
        if values.links and _writes_itself(type(record)):
            await audit("updated", record, links={name: _told(links) for name, links in values.links.items()})
    for name, lines in values.lines.items():
        await _store_lines(access, record, name, lines)


def _writes_itself(model: Any) -> bool:
    """Whether a model's own `save` and `delete` keep the audit log."""
    return hasattr(model, "audited_as")


def _told(links: Links) -> dict[str, Any]:
    return {"to": links.whole} if links.whole is not None else {"add": links.add, "remove": links.remove}


async def _link(relation: Any, links: Links) -> None:
    if links.whole is not None:
        await relation.clear()
    if links.remove:
        await relation.remove(*await relation.remote_model.filter(id__in=links.remove))
    if links.named:
        await relation.add(*await relation.remote_model.filter(id__in=links.named))


async def _store_lines(access: Access, record: Any, name: str, lines: Lines) -> None:
    """Store the lines of a record, which is locked, so that they are too."""
    shape = shape_of(type(record))[name]
    model, key = shape.related, shape.column.relation_field
    stored = {line.pk: line for line in await model.filter(**{key: record.pk})}
    faults = [
        fault(one.place + "/id", f"is no line of this {type(record).__name__}")
        for one in lines.update
        if one.record_id not in stored
    ]
    if faults or not stored.keys() >= set(lines.remove):
        raise InvalidRecord(faults or [fault("", f"{name}: what is to be removed is no line of this record")])
    kept = {one.record_id for one in lines.update}
    gone = [stored[one] for one in (stored.keys() - kept if lines.is_whole else lines.remove)]
    for right, some in ((Right.DELETE, gone), (Right.WRITE, lines.update), (Right.CREATE, lines.add)):
        if some:
            access.require(model.__name__, right)
    await _check_references(access, [*lines.update, *lines.add], stored)
    written = [stored[one.stored_id].update_from_dict(dict(one.columns)) for one in lines.update]
    written += [model(**one.columns, **{key: record.pk}) for one in lines.add]
    for line in gone:
        with told_apart(model):
            await line.delete()
    for line, values in zip(written, [*lines.update, *lines.add], strict=True):
        await _store(access, line, values)
    await access.check_written(written[: len(lines.update)], fields=())
    await access.check_written(written[len(lines.update) :], Right.CREATE, ())


async def _check_references(access: Access, many: Sequence[Values], stored: Mapping[int, Any] = _NONE_STORED) -> None:
    """Refuse to point at what the user may not read; what a stored record points at already may stay."""
    wanted: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for values in many:
        record = None if values.record_id is None else stored.get(values.record_id)
        for one in values.references:
            if record is None or not one.attribute or (getattr(record, one.attribute),) != one.ids:
                wanted[one.model.__name__] += [(one.place, record_id) for record_id in one.ids]
    faults: list[Fault] = []
    for name, named in wanted.items():
        there = await access.readable((name, one) for _, one in named)
        faults += [fault(place, f"There is no {name} {one}.") for place, one in named if (name, one) not in there]
    if faults:
        raise InvalidRecord(faults)


def _own_company(access: Access, model: Any, columns: Any) -> dict[str, Any]:
    """Return a new record's values, with the user's own company where none is said; without one it is everybody's."""
    own = {"company_id": access.company_id} if "company" in model._meta.fk_fields else {}
    return {**own, **columns}


# Many records at once.


def _stores_many(model: Any) -> bool:
    return model.save is Record.save or hasattr(model, "save_many")


async def _store_many(model: Any, records: Sequence[Any]) -> None:
    if hasattr(model, "save_many"):
        await model.save_many(records)
    else:
        await insert_many(runtime().database, records)


async def _write_many(model: Any, records: Sequence[Any], many: Sequence[Values]) -> None:
    """Write rows that have the same columns to be written by one statement."""
    alike: dict[tuple[str, ...], list[Any]] = defaultdict(list)
    for record, values in zip(records, many, strict=True):
        alike[tuple(values.columns)].append(record)
    for columns, some in alike.items():
        if columns:
            await model.bulk_update(some, fields=list(columns), batch_size=200)
