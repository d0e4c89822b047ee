"""JSON about many records at once: changes in bulk, and figures by groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends
from pydantic import BaseModel, ConfigDict, Field

from core.runtime import get_model
from core.web.errors import status_of
from core.web.guard import Allowed, scope
from core.web.idempotency import keyed
from core.web.problem import Problem, problem
from core.web.record_bulk import MOST_AT_ONCE, Done, Job, carry_out
from core.web.record_examples import BULK, FIGURES, GROUPS, ModelName, exampled
from core.web.record_groups import MOST_FIGURES, MOST_GROUPED, Grouping, groups_of
from core.web.record_query import Question
from core.web.route import ApiRoute

router = APIRouter(prefix="/api/records", tags=["records"], route_class=ApiRoute)

MOST_GROUPS = 1_000
_Name = Annotated[str, Field(max_length=200)]


class BulkJob(BaseModel):
    """Changes of one model's records: new ones, changed ones (each with its `id`), and ids to delete."""

    model_config = ConfigDict(extra="forbid")

    create: list[dict[str, Any]] = Field([], max_length=MOST_AT_ONCE)
    update: list[dict[str, Any]] = Field([], max_length=MOST_AT_ONCE)
    delete: list[int] = Field([], max_length=MOST_AT_ONCE)
    partial: bool = Field(False, description="Whether to do what can be done; otherwise all is done, or nothing.")


class BulkOutcome(BaseModel):
    """What became of one change: `status` as of a request of its own, and the problem where it was not done."""

    status: int
    id: int | None
    problem: Problem | None = None


class BulkAnswer(BaseModel):
    """The outcomes, in the order of the changes."""

    create: list[BulkOutcome]
    update: list[BulkOutcome]
    delete: list[BulkOutcome]


class FiguresQuestion(BaseModel):
    """What to count and add up. Times are grouped by `day`, `week`, `month` or `year` in UTC: `created_at:month`."""

    model_config = ConfigDict(extra="forbid")

    filter: dict[str, Any] | None = None
    group_by: list[_Name] = Field([], max_length=MOST_GROUPED)
    figures: dict[str, _Name] = Field(
        {"count": "count"},
        min_length=1,
        max_length=MOST_FIGURES,
        description="Names, and what they are: `count`, or `sum`, `avg`, `min`, `max`, `count_distinct` of a field.",
    )
    order: list[_Name] = Field([], max_length=MOST_GROUPED + MOST_FIGURES)
    limit: int = Field(100, ge=1, le=MOST_GROUPS)


class FiguresGroup(BaseModel):
    """One group: what its records have in common, and their figures. Times are the first day of what they lie in."""

    by: dict[str, Any]
    values: dict[str, Any]


class FiguresAnswer(BaseModel):
    """The groups; `has_more` tells that there are others beyond the limit."""

    groups: list[FiguresGroup]
    has_more: bool


@router.post("/{model}/bulk", summary="Change many records at once")
async def change_many(model: ModelName, access: Allowed, job: Annotated[BulkJob, Body(examples=[BULK])]) -> BulkAnswer:
    """Make, change and delete up to 1,000 records, in this order and in one transaction.

    The first refusal undoes all and is the answer, its place with it; with `partial` each change has an outcome.
    """
    declared = get_model(model)
    done = await carry_out(access, Job(declared, job.create, job.update, job.delete), partial=job.partial)
    return BulkAnswer(create=_told(done.create, 201), update=_told(done.update, 200), delete=_told(done.delete, 204))


@router.post(
    "/{model}/aggregate",
    summary="Count and add up records by groups",
    dependencies=[Depends(scope("read")), Depends(keyed("ignored"))],
    responses=exampled(GROUPS),
)
async def aggregate(
    model: ModelName, access: Allowed, asked: Annotated[FiguresQuestion, Body(examples=[FIGURES])]
) -> FiguresAnswer:
    """Return figures about the records that a filter finds and that the caller may read."""
    grouping = Grouping(tuple(asked.group_by), asked.figures, tuple(asked.order), asked.limit)
    groups, has_more = await groups_of(access, Question(model, asked.limit, asked.filter), grouping)
    told = [FiguresGroup(by=group.by, values=group.values) for group in groups]
    return FiguresAnswer(groups=told, has_more=has_more)


def _told(changes: Sequence[Done], status: int) -> list[BulkOutcome]:
    return [
        BulkOutcome(status=status, id=one.record_id)
        if one.error is None
        else BulkOutcome(status=status_of(one.error), id=None, problem=_problem(one.error))
        for one in changes
    ]


def _problem(error: Any) -> Problem:
    faults = getattr(error, "faults", None) or None
    return Problem(**problem(status_of(error), error.code, str(error), faults=faults))
