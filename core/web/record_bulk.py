"""Many changes of one model's records at once: all of them or none, or each for itself with an outcome.

Tried as a whole first, in few statements. Only where that is refused is each tried alone, to tell which is at fault.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.access import Access
from core.errors import PostroomError
from core.orm.transaction import transaction
from core.web.record_changes import create_all, delete_all, update_all
from core.web.record_faults import InvalidRecord, fault, invalid
from core.web.record_values import Values, is_id, read_values

MOST_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be done with records of a model: what was sent, unread."""

    model: Any
    create: Sequence[object] = ()
    update: Sequence[object] = ()
    delete: Sequence[int] = ()

    def check(self) -> None:
        """Refuse too many, and what is named twice."""
        if len(self.create) + len(self.update) + len(self.delete) > MOST_AT_ONCE:
            raise invalid("", f"holds more than {MOST_AT_ONCE} changes; send them in several requests")
        seen: set[object] = set()
        named = [(f"/update/{at}/id", _id_in(one)) for at, one in enumerate(self.update)]
        for place, record_id in [*named, *((f"/delete/{at}", one) for at, one in enumerate(self.delete))]:
            if not is_id(record_id):
                raise invalid(place, "must be the id of a record")
            if record_id in seen:
                raise invalid(place, "is named twice")
            seen.add(record_id)


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one change: the record's id, or the error that kept it from being done."""

    record_id: int | None
    error: PostroomError | None = None


@dataclass(slots=True)
class Outcomes:
    """What became of all changes, in their order."""

    create: list[Done] = field(default_factory=list)
    update: list[Done] = field(default_factory=list)
    delete: list[Done] = field(default_factory=list)


async def carry_out(access: Access, job: Job, *, partial: bool) -> Outcomes:
    """Do what a job says; unless `partial`, the first refusal is raised, with its place, and nothing is done."""
    job.check()
    try:
        async with transaction():
            return await _together(access, job)
    except PostroomError:
        async with transaction():
            return await _one_by_one(access, job, partial=partial)


async def _together(access: Access, job: Job) -> Outcomes:
    done = Outcomes()
    new = [_new(access, job, at, one) for at, one in enumerate(job.create)]
    changed = [_changed(access, job, at, one) for at, one in enumerate(job.update)]
    if new:
        done.create = [Done(record.pk) for record in await create_all(access, new)]
    if changed:
        done.update = [Done(record.pk) for record in await update_all(access, changed)]
    if job.delete:
        await delete_all(access, job.model, job.delete)
        done.delete = [Done(record_id) for record_id in job.delete]
    return done


async def _one_by_one(access: Access, job: Job, *, partial: bool) -> Outcomes:
    async def create(at: int, body: object) -> int:
        (record,) = await create_all(access, [_new(access, job, at, body)])
        return int(record.pk)

    async def update(at: int, body: object) -> int:
        (record,) = await update_all(access, [_changed(access, job, at, body)])
        return int(record.pk)

    async def delete(_at: int, record_id: int) -> int:
        await delete_all(access, job.model, [record_id])
        return record_id

    return Outcomes(
        await _each("/create", create, job.create, partial),
        await _each("/update", update, job.update, partial),
        await _each("/delete", delete, job.delete, partial),
    )


async def _each(
    place: str, change: Callable[[int, Any], Awaitable[int]], items: Sequence[object], partial: bool
) -> list[Done]:
    done = []
    for at, item in enumerate(items):
        try:
            async with transaction():
                done.append(Done(await change(at, item)))
        except PostroomError as error:
            if not partial:
                if not getattr(error, "faults", ()):
                    # The answer then says which of the changes it was, whatever the error is of.
                    vars(error)["faults"] = (fault(f"{place}/{at}", str(error)),)
                raise
            done.append(Done(None, error))
    return done


def _new(access: Access, job: Job, at: int, body: object) -> Values:
    return read_values(access, job.model, body, is_new=True, place=f"/create/{at}")


def _changed(access: Access, job: Job, at: int, body: object) -> Values:
    if not isinstance(body, dict):
        raise InvalidRecord([fault(f"/update/{at}", "must be an object with an id and the fields to change")])
    rest = {name: value for name, value in body.items() if name != "id"}
    return read_values(access, job.model, rest, is_new=False, place=f"/update/{at}", record_id=body["id"])


def _id_in(body: object) -> object:
    return body.get("id") if isinstance(body, dict) else None
